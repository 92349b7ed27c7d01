"""Time and camera of a photo, by its EXIF."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from PIL import Image

_EXIF_IFD: Final = 0x8769
_DATE_TIME_ORIGINAL: Final = 0x9003
_MODEL: Final = 0x0110


@dataclass(frozen=True, slots=True)
class Facts:
    """What a camera wrote into a photo.

    Attributes:
        taken: When the shutter opened, in the camera's local time, as `2026-05-17T14:03:21`; None
            where unknown.
        camera: The model's name; None where unknown.
    """

    taken: str | None
    camera: str | None


UNKNOWN: Final = Facts(None, None)


def facts(image: Image.Image) -> Facts:
    """The facts of an opened image; what is missing or malformed is None."""
    try:
        exif = image.getexif()
        date = exif.get_ifd(_EXIF_IFD).get(_DATE_TIME_ORIGINAL)
        model = exif.get(_MODEL)
    except (OSError, ValueError, SyntaxError, KeyError):  # Pillow's, on broken EXIF
        return UNKNOWN
    try:
        taken = datetime.strptime(_text(date), "%Y:%m:%d %H:%M:%S").isoformat()
    except ValueError:
        taken = None
    return Facts(taken, _text(model) or None)


def _text(value: object) -> str:
    return value.strip("\0 \t\r\n") if isinstance(value, str) else ""
