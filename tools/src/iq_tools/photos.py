"""Photos as a tower sees them, decoded by the very preprocessing that is served."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np
import numpy.typing as npt

from iq_tools.contract import ContractError, Tower

PREPROCESSING_FILE: Final = "preprocessing.py"

_PACKAGE: Final = "siamese_nima"
_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})


def installed_preprocessing() -> Path:
    """The source file of the preprocessing that training uses.

    Raises:
        ContractError: The training package is not installed.
    """
    # Found, not imported: the package around it may bring TensorFlow.
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder) / PREPROCESSING_FILE).is_file():
            return path
    raise ContractError(
        f"{_PACKAGE}/{PREPROCESSING_FILE} is not installed. Install siamese-nima, or give the "
        f"file with --preprocessing"
    )


def load_preprocessing(source: Path) -> ModuleType:
    """Imports a preprocessing's source file by its path.

    Raises:
        ContractError: It is no Python file.
    """
    spec = importlib.util.spec_from_file_location("_iq_tools_preprocessing", source)
    if spec is None or spec.loader is None:
        raise ContractError(f"{source} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def photo_files(folder: Path) -> list[Path]:
    """The photos of a folder and the folders in it, sorted by path.

    Raises:
        ContractError: There are none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise ContractError(f"{folder} holds no photos ({', '.join(sorted(_SUFFIXES))})")
    return found


def read_photos(
    folder: Path, tower: Tower, *, preprocessing: Path | None = None
) -> npt.NDArray[np.uint8]:
    """Decodes every photo of a folder for a tower.

    Args:
        folder: Searched with the folders in it.
        tower: Gives size and interpolation.
        preprocessing: The preprocessing's source file; None for the installed one.

    Returns:
        Pixels, uint8 [N,H,W,3], in the order of the paths.

    Raises:
        ContractError: There is no photo, or one cannot be read.
    """
    module = load_preprocessing(preprocessing or installed_preprocessing())
    pixels = []
    for path in photo_files(folder):
        try:
            pixels.append(
                module.load_pixels(
                    path.read_bytes(),
                    image_size=tower.image_size,
                    interpolation=tower.interpolation,
                )
            )
        except module.ImageError as error:
            raise ContractError(f"{path}: {error}") from error
    return np.stack(pixels)
