"""Times in the names of photos, as phones, cloud folders and messengers give them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

# Year to second, with or without separators, and milliseconds; no further digit on either side.
# IMG_20240131_120501.jpg, PXL_20240131_120501123.MP.jpg, 20240131_120501(0).jpg,
# 2024-01-31 12.05.01.jpg, Screenshot_2024-01-31-12-05-01-123.png, WIN_20240131_12_05_01_Pro.jpg
_TIME: Final = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_.:]?)(\d\d)\2(\d\d)"
    r"(?:[-_. T]|, | at | um | à )?"
    r"(\d\d)([-_.:]?)(\d\d)\6(\d\d)(?:[-_.]?(\d{3}))?(?!\d)"
)
_IN_UTC: Final = "PXL_"  # Google's Pixel phones; all others name by local time


def time_in_name(name: str) -> datetime | None:
    """The time that a photo's file is named by, or None.

    Args:
        name: Path or name of the file.

    Returns:
        A time with the zone UTC where the name is known to be in it, else without a zone. A date
        alone, as in `IMG-20240131-WA0001.jpg`, is no time.
    """
    file_name = re.split(r"[/\\]", name)[-1]
    for found in _TIME.finditer(file_name):
        year, _, month, day, hour, _, minute, second, milliseconds = found.groups()
        try:
            taken = datetime(
                int(year), int(month), int(day), int(hour), int(minute), int(second),
                int(milliseconds or 0) * 1000,
            )  # fmt: skip
        except ValueError:  # a number of another kind
            continue
        return taken.replace(tzinfo=UTC) if file_name.startswith(_IN_UTC) else taken
    return None
