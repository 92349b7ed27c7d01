"""RAW files, scored by the preview in them."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iq_client.errors import InputError
from iq_client.groups import fingerprint
from iq_client.images.inputs import expand

ASCII, SHORT, LONG, RATIONAL, BYTE = 2, 3, 4, 10, 1
FORMATS = {ASCII: "s", SHORT: "H", LONG: "I", RATIONAL: "i", BYTE: "B"}
Tags = dict[int, tuple[int, "list[int] | bytes"]]


def directory(tags: Tags, start: int) -> bytes:
    """A TIFF directory, little-endian, that will stand at `start`."""
    entries, values = b"", b""
    behind = start + 2 + 12 * len(tags) + 4
    for tag, (kind, value) in sorted(tags.items()):
        count = len(value) // 2 if kind == RATIONAL else len(value)
        data = value if isinstance(value, bytes) else struct.pack(
            f"<{len(value)}{FORMATS[kind]}", *value)  # fmt: skip
        if len(data) <= 4:
            entries += struct.pack("<HHI4s", tag, kind, count, data)
        else:
            entries += struct.pack("<HHII", tag, kind, count, behind + len(values))
            values += data + b"\0" * (len(data) % 2)
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0) + values


def dng(preview: Image.Image, orientation: int = 1) -> bytes:
    """A small DNG: a sensor's picture of noise, and a JPEG preview as its first picture."""
    buffer = io.BytesIO()
    preview.save(buffer, "JPEG", quality=95)
    jpeg = buffer.getvalue() + b"\0" * (len(buffer.getvalue()) % 2)
    side = 256
    sensor = np.random.default_rng(0).integers(0, 4000, (side, side), np.uint16).tobytes()
    jpeg_at, sensor_at = 8, 8 + len(jpeg)
    exif_at = sensor_at + len(sensor)
    exif = directory({0x9003: (ASCII, b"2026:05:01 12:00:00\0")}, exif_at)
    raw_at = exif_at + len(exif)
    raw = directory({
        254: (LONG, [0]), 256: (LONG, [side]), 257: (LONG, [side]), 258: (SHORT, [16]),
        259: (SHORT, [1]), 262: (SHORT, [32803]), 273: (LONG, [sensor_at]), 277: (SHORT, [1]),
        278: (LONG, [side]), 279: (LONG, [len(sensor)]), 33421: (SHORT, [2, 2]),
        33422: (BYTE, [0, 1, 1, 2]),
    }, raw_at)  # fmt: skip
    first_at = raw_at + len(raw)
    first = directory({
        254: (LONG, [1]), 256: (LONG, [preview.width]), 257: (LONG, [preview.height]),
        258: (SHORT, [8, 8, 8]), 259: (SHORT, [7]), 262: (SHORT, [6]), 271: (ASCII, b"Camera\0"),
        272: (ASCII, b"Model\0"), 273: (LONG, [jpeg_at]), 274: (SHORT, [orientation]),
        277: (SHORT, [3]), 278: (LONG, [preview.height]), 279: (LONG, [len(jpeg)]),
        330: (LONG, [raw_at]), 34665: (LONG, [exif_at]), 50706: (BYTE, [1, 4, 0, 0]),
        50708: (ASCII, b"Camera Model\0"),
        50721: (RATIONAL, [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]),
    }, first_at)  # fmt: skip
    return b"II*\0" + struct.pack("<I", first_at) + jpeg + sensor + exif + raw + first


def test_the_preview_is_scored(tmp_path: Path) -> None:
    preview = Image.linear_gradient("L").convert("RGB").resize((640, 480))
    (tmp_path / "a.dng").write_bytes(dng(preview))
    (source,) = expand(tmp_path)
    data = source.load()
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.size) == ("JPEG", (640, 480))
        difference = np.asarray(image, np.int16) - np.asarray(preview, np.int16)
    assert np.abs(difference).max() < 10
    taken = fingerprint(data).shot.taken
    assert taken is not None and taken.isoformat() == "2026-05-01T12:00:00"


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_the_preview_lies_as_the_photo_does(orientation: int) -> None:
    (source,) = expand(dng(Image.new("RGB", (640, 480)), orientation))
    with Image.open(io.BytesIO(source.load())) as image:
        assert image.getexif()[0x0112] == orientation


def test_a_thumbnail_is_not_the_photo() -> None:
    (source,) = expand(dng(Image.new("RGB", (160, 120))))
    with pytest.raises(InputError) as caught:
        source.load()
    assert caught.value.code == "UNSUPPORTED"
    assert "160x120" in caught.value.message


def test_a_damaged_raw_file() -> None:
    (source,) = expand(b"FUJIFILMCCD-RAW and no more")
    with pytest.raises(InputError) as caught:
        source.load()
    assert caught.value.code == "UNREADABLE"
