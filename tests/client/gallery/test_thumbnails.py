"""Small pictures that keep to a limit of bytes."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from iq_client.gallery.thumbnails import (
    LEAST_BYTES,
    MOST_BYTES,
    PAGE_BYTES,
    Thumbnail,
    bytes_per_thumbnail,
    thumbnail,
)


def decoded(small: Thumbnail) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(small.data_uri.split(",")[1]))))


def photo_file(path: Path, size: tuple[int, int] = (300, 200), **options: Any) -> str:
    Image.new("RGB", size, "teal").save(path, **options)
    return str(path)


# What limits a thumbnail is its bytes; noise is the worst that can be asked of it.
@pytest.mark.parametrize("max_bytes", [LEAST_BYTES, 8_000, MOST_BYTES])
@pytest.mark.parametrize("size", [(1600, 1200), (1200, 1600), (3000, 20), (1, 1)])
def test_a_thumbnail_keeps_to_its_bytes(size: tuple[int, int], max_bytes: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    small = thumbnail(Image.fromarray(noise), max_bytes)
    data = base64.b64decode(small.data_uri.removeprefix("data:image/webp;base64,"))
    assert len(data) <= max_bytes
    assert small.width <= size[0]
    assert small.height <= size[1]


@pytest.mark.parametrize("photos_on_page", [0, 1, 100, 5_000, 16_000])
def test_all_thumbnails_together_keep_to_the_limit_of_the_page(photos_on_page: int) -> None:
    assert bytes_per_thumbnail(photos_on_page) * photos_on_page <= PAGE_BYTES
    assert LEAST_BYTES <= bytes_per_thumbnail(photos_on_page) <= MOST_BYTES


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I"])
def test_every_mode_gives_a_thumbnail(mode: str) -> None:
    grey = Image.linear_gradient("L")
    image = (
        Image.fromarray(np.asarray(grey, np.uint16) * 257)
        if mode == "I;16"
        else grey.convert("RGB").convert(mode)
        if mode != "I"
        else Image.fromarray(np.asarray(grey, np.int32) * 257)
    )
    assert image.mode == mode
    assert thumbnail(image, 8_000).width > 0


def test_a_16_bit_image_is_not_clipped() -> None:
    levels = np.linspace(0, 65535, 256, dtype=np.uint16)[None].repeat(64, axis=0)
    small = thumbnail(Image.fromarray(levels), 8_000)
    assert 100 < decoded(small).mean() < 155


def test_a_rotated_photo_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo_file(tmp_path / "a.jpg", (300, 200), exif=exif)
    with Image.open(tmp_path / "a.jpg") as image:
        small = thumbnail(image, 8_000)
    assert small.height > small.width


def test_transparency_lies_on_white() -> None:
    small = thumbnail(Image.new("RGBA", (20, 20), (0, 0, 0, 0)), 8_000)
    assert decoded(small).min() >= 250


@pytest.mark.parametrize(
    "profile",
    [ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), b"not a profile"],
)
def test_colour_profiles_good_and_broken(tmp_path: Path, profile: bytes) -> None:
    path = photo_file(tmp_path / "a.jpg", icc_profile=profile)
    with Image.open(path) as image:
        small = thumbnail(image, 8_000)
    assert np.allclose(decoded(small).mean((0, 1)), (0, 128, 128), atol=6)  # still teal
