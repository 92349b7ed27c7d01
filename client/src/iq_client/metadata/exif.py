"""Facts that a camera wrote into a photo: when and how it was taken.

Tags by CIPA DC-008 (EXIF 2.32), sections 4.6.5 and 4.6.6.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

from iq_client.metadata.file_names import time_in_name

if TYPE_CHECKING:
    from PIL import Image

EXIF_IFD: Final = 0x8769
MODEL: Final = 0x0110
_EXPOSURE_TIME: Final = 0x829A
_F_NUMBER: Final = 0x829D
_SENSITIVITY: Final = 0x8827
_BIAS: Final = 0x9204
_SUBJECT_DISTANCE: Final = 0x9206
_FOCAL_LENGTH: Final = 0x920A
_EXPOSURE_MODE: Final = 0xA402
_AUTO_BRACKET: Final = 2
TAKEN: Final = 0x9003
# DateTimeOriginal and DateTimeDigitized, each with the fraction of its second and its zone.
_TIMES: Final = ((TAKEN, 0x9291, 0x9011), (0x9004, 0x9292, 0x9012))
# What is read beside the model's name.
READ: Final = frozenset({
    _EXPOSURE_TIME, _F_NUMBER, _SENSITIVITY, _BIAS, _SUBJECT_DISTANCE, _FOCAL_LENGTH,
    _EXPOSURE_MODE, *(tag for tags in _TIMES for tag in tags),
})  # fmt: skip

_FIRST_YEAR, _LAST_YEAR = 1900, 9000  # what lies outside no clock has shown
# Some programs write the date in ISO's form.
_TIME: Final = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_ZONE: Final = re.compile(r"([+-])(\d\d):(\d\d)")
# Lightroom and Camera Raw write the distance that a camera keeps in notes of its own.
_XMP_DISTANCE: Final = re.compile(rb'aux:ApproximateFocusDistance(?:="|>)(\d+)(?:/(\d+))?["<]')
_INFINITY: Final = 2**32 - 1  # as a numerator: the subject is infinitely far


@dataclass(frozen=True, slots=True)
class Shot:
    """Settings and time of a photo; None where not known.

    Attributes:
        taken: When the shutter opened, by EXIF, else by the name of the file: in the zone that is
            stated, else in the camera's local time without one.
        camera: Name of the model.
        exposure_time: Seconds.
        f_number: Focal length by aperture.
        sensitivity: ISO speed.
        bias: Exposure compensation in EV.
        auto_bracket: Whether the camera says that the photo is one of an exposure bracket.
        focal_length: Millimetres.
        distance: Metres to what is in focus; infinite for far away.
    """

    taken: datetime | None = None
    camera: str | None = None
    exposure_time: float | None = None
    f_number: float | None = None
    sensitivity: float | None = None
    bias: float | None = None
    auto_bracket: bool = False
    focal_length: float | None = None
    distance: float | None = None

    @property
    def exposure(self) -> float | None:
        """Light that the sensor was given, in EV: one more is twice as much.

        Where EXIF has no exposure time it is the bias. Only differences between photos of one
        camera mean something.
        """
        if self.exposure_time is None:
            return self.bias
        light = self.exposure_time * (self.sensitivity or 100) / (self.f_number or 1) ** 2
        return math.log2(light)


def read_shot(image: Image.Image, name: str = "") -> Shot:
    """Settings and time of an opened image, as far as they are known.

    Args:
        image: Any image; its pixels are not decoded.
        name: Path or name of its file: tells the time where EXIF does not.
    """
    try:
        exif = image.getexif()
        inner = dict(exif.get_ifd(EXIF_IFD))
        camera = exif.get(MODEL)
    except Exception:  # damaged EXIF leads Pillow to errors of many kinds
        return Shot(taken=time_in_name(name))
    return Shot(
        taken=_taken(inner) or time_in_name(name),
        camera=_text(camera) or None,
        exposure_time=_positive(inner.get(_EXPOSURE_TIME)),
        f_number=_positive(inner.get(_F_NUMBER)),
        sensitivity=_positive(inner.get(_SENSITIVITY)),
        bias=_number(inner.get(_BIAS)),
        auto_bracket=inner.get(_EXPOSURE_MODE) == _AUTO_BRACKET,
        focal_length=_positive(inner.get(_FOCAL_LENGTH)),
        distance=_distance(inner.get(_SUBJECT_DISTANCE), image.info.get("xmp")),
    )


def _taken(inner: dict[int, object]) -> datetime | None:
    for tag, fraction_tag, zone_tag in _TIMES:
        found = _TIME.match(_text(inner.get(tag)))
        if not found:  # cameras with no clock write blanks
            continue
        year, *rest = map(int, found.groups())
        try:
            second = datetime(year, *rest)  # type: ignore[arg-type]
        except ValueError:  # or zeros
            continue
        if not _FIRST_YEAR <= year <= _LAST_YEAR:
            continue
        digits = _text(inner.get(fraction_tag))
        fraction = float(f"0.{digits}") if digits.isascii() and digits.isdigit() else 0.0
        return (second + timedelta(seconds=fraction)).replace(tzinfo=_zone(inner.get(zone_tag)))
    return None


def _zone(value: object) -> timezone | None:
    found = _ZONE.fullmatch(_text(value))
    if not found:
        return None
    sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    if offset >= timedelta(hours=15):  # there is none beyond +14:00
        return None
    return timezone(-offset if sign == "-" else offset)


def _distance(value: object, xmp: object) -> float | None:
    if getattr(value, "numerator", None) == _INFINITY:
        return math.inf
    if (metres := _positive(value)) is not None:  # EXIF: 0 is unknown
        return metres
    found = _XMP_DISTANCE.search(xmp) if isinstance(xmp, bytes) else None
    if not found:
        return None
    numerator, denominator = int(found[1]), int(found[2] or 1)
    return _positive(numerator / denominator) if denominator else None


def _positive(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def _number(value: object) -> float | None:
    if isinstance(value, tuple):  # one number for several sensitivities, say
        value = value[0] if value else None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None


def _text(value: object) -> str:
    return value.strip("\0 \t\r\n") if isinstance(value, str) else ""
