"""Files of many formats, depths and modes, against a decoder that is not Pillow."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import pyvips
from PIL import Image
from tests.serving.files import encoded, muted, photo, profile

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "scripts" / "compare_decoders.py"
    spec = importlib.util.spec_from_file_location("compare_decoders", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def by_vips(suffix: str, *, depth: int = 8, mode: str = "srgb", **options: Any) -> bytes:
    """A file that libvips wrote."""
    image: Any = pyvips.Image.new_from_array(np.asarray(photo()))
    if mode == "alpha":
        image = image.bandjoin(image[0])
    elif mode in ("b-w", "lab"):
        image = image.colourspace(mode)
    if depth == 16:
        wide = (image.cast("ushort") * 257).cast("ushort")
        image = wide.copy(interpretation="grey16" if mode == "b-w" else "rgb16")
    written: bytes = image.write_to_buffer(suffix, **options)
    return written


def files() -> Iterator[tuple[str, bytes]]:
    for kind in ("PNG", "JPEG", "TIFF", "GIF", "WEBP"):
        yield f"Pillow {kind}", encoded(photo(), kind)
        if kind != "JPEG":
            clear = photo()
            clear.putalpha(photo(seed=1).convert("L"))
            yield f"Pillow {kind} alpha", encoded(clear, kind)
    for mode in ("1", "L", "LA", "P", "I;16"):
        image = photo().convert("L" if mode == "I;16" else mode)
        if mode == "I;16":
            image = Image.fromarray(np.asarray(image, np.uint16) * 257)
        yield f"Pillow PNG {mode}", encoded(image)
        yield f"Pillow TIFF {mode}", encoded(image, "TIFF")
    yield "linear PNG", encoded(muted(), icc_profile=profile("sRGB", curve=1.0))
    yield "linear JPEG", encoded(muted(), "JPEG", icc_profile=profile("sRGB", curve=1.0))
    for mode in ("srgb", "alpha", "b-w"):
        for depth in (8, 16):
            yield f"libvips PNG {mode} {depth}", by_vips(".png", depth=depth, mode=mode)
            yield f"libvips TIFF {mode} {depth}", by_vips(".tif", depth=depth, mode=mode)
    for bits in (1, 2, 4):
        yield f"libvips TIFF {bits}", by_vips(".tif", mode="b-w", bitdepth=bits)
        if bits > 1:
            yield f"libvips PNG {bits}", by_vips(".png", mode="b-w", bitdepth=bits)
    yield "libvips TIFF white is zero", by_vips(".tif", mode="b-w", miniswhite=True)
    for compression in ("lzw", "deflate", "packbits"):
        yield f"libvips TIFF {compression}", by_vips(".tif", compression=compression, tile=True)
    yield "libvips PNG interlaced", by_vips(".png", interlace=True)
    yield "libvips JPEG progressive", by_vips(".jpg", interlace=True, Q=95)


FILES = dict(files())


@pytest.mark.parametrize("name", FILES)
def test_pixels_are_those_of_another_decoder(script: ModuleType, name: str) -> None:
    data = FILES[name]
    shown = script.by_libvips(data)
    assert np.ptp(shown) > 50, "a picture with something in it"
    # Alpha is multiplied in 8 bits before the resize, and divided out again behind it.
    assert script.difference(data, shown) <= script.LEVELS + ("alpha" in name)


def test_a_difference_would_be_seen(script: ModuleType) -> None:
    shown = script.by_libvips(encoded(muted(), icc_profile=profile("linear", curve=1.0)))
    assert script.difference(encoded(muted()), shown) > 10


def test_outcomes(script: ModuleType) -> None:
    assert script.compared(encoded(photo())) == ("equal", "")
    assert script.compared(b"none") == ("UNREADABLE", "")
    assert script.compared(encoded(photo(), "TGA")) == ("only here", "")
    cmyk = script.compared(encoded(photo().convert("CMYK"), "TIFF"))
    assert cmyk[0] == "different" and cmyk[1].endswith("levels")
