"""Compares the preprocessing with libvips over a folder of image files.

    python scripts/compare_decoders.py FOLDER

Pillow's own odd files are in its source distribution, below `Tests/images`. A line for each file
that differs by more than `LEVELS` after resizing, or that only libvips takes; then the counts.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyvips
from PIL import Image

from iq_serving.errors import ImageError
from iq_serving.preprocessing import load_pixels

LEVELS: Final = 2
_LARGEST: Final = 2000  # pixels of a side, above which a JPEG is compared at a fixed size
_FIXED: Final = (224, 224)


def by_libvips(data: bytes) -> npt.NDArray[np.uint8]:
    """A file as libvips shows it: upright, sRGB by its ICC profile, over white.

    Args:
        data: The file's bytes.

    Returns:
        uint8 [H,W,3].

    Raises:
        pyvips.Error: It cannot be read.
    """
    image: Any = pyvips.Image.new_from_buffer(data, "", access="random").autorot()
    if image.get_typeof("icc-profile-data"):
        try:
            image = image.icc_transform("srgb", embedded=True, intent="perceptual")
        except pyvips.Error:  # a damaged profile
            image = image.copy()
    if image.interpretation != "srgb":
        image = image.colourspace("srgb")
    if image.hasalpha():
        image = image.flatten(background=255)
    pixels = image.cast("uchar").numpy()
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels[..., :3]


def difference(data: bytes, shown: npt.NDArray[np.uint8]) -> int:
    """The largest difference of a level, both at half their size.

    Args:
        data: The file's bytes.
        shown: It as libvips shows it.

    Raises:
        ImageError: The preprocessing refuses the file.
    """
    height, width = (max(1, side // 2) for side in shown.shape[:2])
    if max(shown.shape) > _LARGEST:
        height, width = _FIXED
    resized = Image.fromarray(shown).resize((width, height), Image.Resampling.BILINEAR)
    found = load_pixels(data, image_size=(height, width)).astype(np.int16)
    return int(np.abs(found - np.asarray(resized, np.int16)).max())


def compared(data: bytes) -> tuple[str, str]:
    """The outcome of a file, and what to say of it; nothing where both agree."""
    try:
        shown = by_libvips(data)
    except pyvips.Error:
        try:
            load_pixels(data, image_size=_FIXED)
        except ImageError as error:
            return error.code, ""
        return "only here", ""
    try:
        levels = difference(data, shown)
    except ImageError as error:
        return error.code, f"only by libvips: {error}"
    return ("equal", "") if levels <= LEVELS else ("different", f"{levels} levels")


def main() -> None:
    """Prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    counts: Counter[str] = Counter()
    for path in sorted(parser.parse_args().folder.rglob("*")):
        if path.is_file():
            outcome, text = compared(path.read_bytes())
            counts[outcome] += 1
            if text:
                print(f"{path.name}: {text}")
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()))


if __name__ == "__main__":
    main()
