"""Small copies of photos."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from iq_client.gallery.copies import SmallCopies
from iq_client.gallery.facts import Facts, facts
from iq_client.gallery.thumbnails import LONGEST_SIDE


def photo(size: tuple[int, int]) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    exif[0x0110] = "Camera"
    exif.get_ifd(0x8769)[0x9003] = "2026:05:01 10:00:00"
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def test_copies_are_upright_small_and_know_time_and_camera() -> None:
    copies = SmallCopies()
    copies.add("large", photo((3000, 2000)))
    copies.add("small", photo((30, 20)))
    for name, size in (("small", (20, 30)), ("large", (640, LONGEST_SIDE))):
        copy = copies.open(name)
        assert copy is not None
        assert copy.size == size
        assert copy.getexif().get(0x0112) is None
        assert facts(copy) == Facts("2026-05-01T10:00:00", "Camera")


@pytest.mark.parametrize("data", [b"", b"no image", photo((300, 200))[:600]])
def test_of_what_cannot_be_decoded_there_is_none(data: bytes) -> None:
    copies = SmallCopies()
    copies.add("broken", data)
    assert copies.open("broken") is None
