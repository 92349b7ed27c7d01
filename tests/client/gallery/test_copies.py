"""Small copies of photos."""

from __future__ import annotations

import io
from datetime import datetime

import pytest
from PIL import Image

from iq_client.gallery.copies import SmallCopies
from iq_client.gallery.thumbnails import LONGEST_SIDE
from iq_client.metadata.exif import Shot, read_shot


def photo(size: tuple[int, int]) -> Image.Image:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    exif[0x0110] = "Camera"
    exif.get_ifd(0x8769)[0x9003] = "2026:05:01 10:00:00"
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, "JPEG", exif=exif)
    return Image.open(buffer)


def noise() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((300, 200), 80).save(buffer, "JPEG")
    return buffer.getvalue()


def test_copies_are_upright_small_and_know_time_and_camera() -> None:
    copies = SmallCopies()
    copies.add("large", photo((3000, 2000)))
    one = copies.size
    copies.add("small", photo((30, 20)))
    assert 0 < one < copies.size
    for name, size in (("small", (20, 30)), ("large", (640, LONGEST_SIDE))):
        copy = copies.open(name)
        assert copy is not None
        assert copy.size == size
        assert copy.getexif().get(0x0112) is None
        assert read_shot(copy) == Shot(datetime(2026, 5, 1, 10), "Camera")


def test_of_what_cannot_be_decoded_there_is_none() -> None:
    copies = SmallCopies()
    broken = Image.open(io.BytesIO(noise()[:6000]))
    with pytest.raises(OSError, match="truncated"):
        copies.add("broken", broken)
    assert copies.open("broken") is None
