"""The segments of a JPEG file that hold metadata (ITU-T T.81, annex B): EXIF and XMP in APP1."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

EXIF: Final = b"Exif\0\0"
XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
MAX_CONTENT: Final = 65533  # bytes of one segment

_START: Final = b"\xff\xd8"
_APP0, _APP1, _APP15 = 0xE0, 0xE1, 0xEF
_COMMENT: Final = 0xFE


@dataclass(frozen=True, slots=True)
class Segment:
    """An APP segment: from the marker's first byte, `start`, to the byte behind its last, `end`."""

    marker: int
    start: int
    end: int
    content: bytes


def segments(data: bytes) -> Iterator[Segment]:
    """The APP segments and comments in front of a JPEG's picture.

    Raises:
        ValueError: The bytes are no JPEG, or cut off.
    """
    if not data.startswith(_START):
        raise ValueError("not a JPEG file")
    at = len(_START)
    while True:
        start = at
        while data[at : at + 2] == b"\xff\xff":  # fill bytes
            at += 1
        if len(data) < at + 4 or data[at] != 0xFF:
            raise ValueError("a damaged JPEG file")
        marker = data[at + 1]
        if not (_APP0 <= marker <= _APP15 or marker == _COMMENT):
            return
        (length,) = struct.unpack_from(">H", data, at + 2)
        end = at + 2 + length
        if length < 2 or end > len(data):
            raise ValueError("a damaged JPEG file")
        yield Segment(marker, start, end, data[at + 4 : end])
        at = end


def find(data: bytes, identifier: bytes) -> Segment | None:
    """The first APP1 segment that begins with `EXIF` or `XMP`; raises ValueError as `segments`."""
    return next(
        (
            each
            for each in segments(data)
            if each.marker == _APP1 and each.content.startswith(identifier)
        ),
        None,
    )


def replace(data: bytes, identifier: bytes, content: bytes) -> bytes:
    """The same file with another content of a segment; every other byte stays.

    Args:
        data: The bytes of a JPEG file.
        identifier: `EXIF` or `XMP`.
        content: What follows the identifier.

    Returns:
        The file. A segment that it lacked stands behind JFIF's and EXIF's.

    Raises:
        ValueError: The bytes are no JPEG, or the content is too long for a segment.
    """
    if len(identifier) + len(content) > MAX_CONTENT:
        raise ValueError(f"{len(content)} bytes are more than a segment of a JPEG holds")
    size = struct.pack(">H", len(identifier) + len(content) + 2)
    made = b"\xff" + bytes([_APP1]) + size + identifier + content
    if (found := find(data, identifier)) is not None:
        return data[: found.start] + made + data[found.end :]
    at = len(_START)
    for each in segments(data):
        if each.marker == _APP0 or each.content.startswith(EXIF):
            at = each.end
        else:
            break
    return data[:at] + made + data[at:]


def remove(data: bytes, identifier: bytes) -> bytes:
    """The same file without a segment; every other byte stays. Raises ValueError as `segments`."""
    found = find(data, identifier)
    return data if found is None else data[: found.start] + data[found.end :]
