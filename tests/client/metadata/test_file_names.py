"""Times in file names."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from iq_client.metadata.file_names import time_in_name

NOON = datetime(2024, 1, 31, 12, 5, 1)


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("IMG_20240131_120501.jpg", NOON),
        ("PXL_20240131_120501123.MP.jpg", NOON.replace(microsecond=123_000, tzinfo=UTC)),
        ("2024-01-31 12.05.01.jpg", NOON),
        ("2024-01-31 12.05.01-2.jpg", NOON),
        ("20240131_120501(0).jpg", NOON),
        ("/photos/20230101_000000/20240131120501.jpg", NOON),
        ("Screenshot_2024-01-31-12-05-01-123_app.png", NOON.replace(microsecond=123_000)),
        ("WIN_20240131_12_05_01_Pro.jpg", NOON),
        ("Photo 2024-01-31 at 12.05.01.jpg", NOON),
        ("00000IMG_00000_BURST20240131120501123_COVER.jpg", NOON.replace(microsecond=123_000)),
        ("IMG-20240131-WA0001.jpg", None),
        ("12345678_10150123456789012_n.jpg", None),
        ("20241331_120501.jpg", None),
        ("20240131_126001.jpg", None),
        ("1120240131_120501.jpg", None),
        ("20240131_120501/DSC_0001.jpg", None),
        ("image[3]", None),
    ],
)
def test_times_in_names(name: str, taken: datetime | None) -> None:
    assert time_in_name(name) == taken
