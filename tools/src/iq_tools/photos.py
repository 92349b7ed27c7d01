"""Photos as a tower sees them, decoded by the very preprocessing that is served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from iq_serving.contract import PHOTO_SUFFIXES, Tower
from iq_serving.preprocessing import ImageError, load_pixels
from iq_tools.errors import InputError


def photo_files(folder: Path) -> list[Path]:
    """The photos of a folder and the folders in it, sorted by path.

    Raises:
        InputError: There are none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
    if not found:
        raise InputError(f"{folder} holds no photos ({', '.join(sorted(PHOTO_SUFFIXES))})")
    return found


def read_photos(folder: Path, tower: Tower) -> npt.NDArray[np.uint8]:
    """Decodes every photo of a folder for a tower.

    Args:
        folder: Searched with the folders in it.
        tower: Gives size and interpolation.

    Returns:
        Pixels, uint8 [N,H,W,3], in the order of the paths.

    Raises:
        InputError: There is no photo, or one cannot be read.
    """
    pixels = []
    for path in photo_files(folder):
        try:
            pixels.append(
                load_pixels(
                    path.read_bytes(),
                    image_size=tower.image_size,
                    interpolation=tower.interpolation,
                )
            )
        except ImageError as error:
            raise InputError(f"{path}: {error}") from error
    return np.stack(pixels)
