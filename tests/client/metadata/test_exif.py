"""Settings and time of a photo, read from EXIF."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone

import pytest
from PIL import Image, TiffImagePlugin
from tests.client.shots import START, shot

from iq_client.metadata.exif import Shot, read_shot

PIXEL = Image.new("RGB", (8, 8))


def read(tags: Mapping[int, object], name: str = "", **options: object) -> Shot:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update(tags)
    stream = io.BytesIO()
    PIXEL.save(stream, "JPEG", exif=exif, **options)
    return read_shot(Image.open(stream), name)


ORIGINAL = {0x9003: "2026:05:01 12:00:00"}


@pytest.mark.parametrize(
    ("tags", "taken"),
    [
        (ORIGINAL, START),
        (ORIGINAL | {0x9291: "25"}, START + timedelta(milliseconds=250)),
        (ORIGINAL | {0x9291: "x"}, START),
        (ORIGINAL | {0x9011: "-03:30"}, START.replace(tzinfo=timezone(-timedelta(hours=3.5)))),
        (ORIGINAL | {0x9011: "   :  "}, START),
        (ORIGINAL | {0x9012: "+02:00"}, START),  # the zone of another time
        ({0x9004: "2026:05:01 12:00:00", 0x9012: "+00:00"}, START.replace(tzinfo=UTC)),
        ({0x9003: "0000:00:00 00:00:00", 0x9004: "2026:05:01 12:00:00"}, START),
        ({0x9003: "0001:01:01 00:00:00", 0x9011: "+14:00"}, None),
        ({0x9003: "    :  :     :  :  "}, None),
        ({0x9003: "2026-05-01T12:00:00+02:00"}, START),
        ({}, None),
    ],
)
def test_when_a_photo_was_taken(tags: dict[int, object], taken: datetime | None) -> None:
    found = read(tags).taken
    assert found == taken
    assert (found and found.utcoffset()) == (taken and taken.utcoffset())


def test_the_name_tells_the_time_where_exif_does_not() -> None:
    name = "IMG_20240131_120501.jpg"
    assert read(ORIGINAL, name).taken == START
    assert read({0x9003: " "}, name).taken == datetime(2024, 1, 31, 12, 5, 1)


def test_how_a_photo_was_taken() -> None:
    data = shot(PIXEL, 0.25, exposure=1 / 50, bias=-0.5, bracket=True, distance=2.5)
    found = read_shot(Image.open(io.BytesIO(data)))
    assert found == Shot(
        START + timedelta(milliseconds=250), "Camera 1", 0.02, 5.6, 200.0, -0.5,
        True, 50.0, 2.5,
    )  # fmt: skip
    assert found.exposure == pytest.approx(math.log2(0.02 * 2 * 100 / 5.6**2))


@pytest.mark.parametrize(
    ("value", "distance"),
    [((0xFFFFFFFF, 1), math.inf), ((0, 1), None), ((5, 2), 2.5), ((1, 0), None)],
)
def test_the_distance_of_the_subject(value: tuple[int, int], distance: float | None) -> None:
    assert read({0x9206: TiffImagePlugin.IFDRational(*value)}).distance == distance


@pytest.mark.parametrize(
    "text",
    [b'aux:ApproximateFocusDistance="123/100"', b"<aux:ApproximateFocusDistance>123/100</aux:"],
)
def test_the_distance_that_lightroom_writes(text: bytes) -> None:
    assert read({}, xmp=text).distance == 1.23


def test_damaged_exif_leaves_the_name() -> None:
    stream = io.BytesIO()
    PIXEL.save(stream, "JPEG", exif=b"Exif\0\0no TIFF")
    found = read_shot(Image.open(stream), "20240131_120501.jpg")
    assert found == Shot(taken=datetime(2024, 1, 31, 12, 5, 1))
