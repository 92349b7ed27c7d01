"""Directories of tags (TIFF 6.0, section 2), as TIFF and EXIF have them, read without trust.

Decoders copy whatever a tag points at before they look at it, and many tags may point at the same
bytes. Here entries are counted and added up; nothing is copied.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

HEADERS: Final = (b"II*\0", b"MM\0*", b"MM*\0", b"II\0*", b"II+\0", b"MM\0+")

_EXIF_PREFIX: Final = b"Exif\0\0"
_EXIF_IFD: Final = 0x8769
_INTEROP_IFD: Final = 0xA005
_INTEROP_INDEX: Final = 1

# Bytes of a value of each type of tag; unknown ones are not read.
_SIZES: Final = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8,
    18: 8,
}  # fmt: skip
_INTEGERS: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}


class Entry(NamedTuple):
    """One entry of a directory.

    Attributes:
        tag: Its number.
        kind: Number of the values' type.
        values: Number of values.
        offset: Where the values begin.
        size: Their bytes, as far as the file has them.
    """

    tag: int
    kind: int
    values: int
    offset: int
    size: int


class Block:
    """A TIFF file, or the EXIF block of another file."""

    def __init__(self, data: bytes) -> None:
        """Reads the header.

        Args:
            data: The bytes, with or without EXIF's prefix.

        Raises:
            ValueError: There is no such header.
        """
        self._data = data
        self._start = len(_EXIF_PREFIX) if data.startswith(_EXIF_PREFIX) else 0
        header = data[self._start : self._start + 4]
        if header not in HEADERS:
            raise ValueError("no TIFF header")
        self._order = "<" if header.startswith(b"II") else ">"
        self._big = b"+" in header
        self._first = self._integer("Q" if self._big else "I", 8 if self._big else 4)

    def entries(self, directory: int | None = None) -> Iterator[Entry]:
        """The entries of a directory as far as they lie in the file.

        Args:
            directory: Its offset; None for the first.
        """
        start = self._first if directory is None else directory
        try:
            count = self._integer("Q" if self._big else "H", start)
        except ValueError:
            return
        start += 8 if self._big else 2
        layout = struct.Struct(f"{self._order}HHQ" if self._big else f"{self._order}HHI")
        step = 20 if self._big else 12
        inline = step - layout.size
        for position in range(start, start + step * min(count, 65_535), step):
            try:
                tag, kind, values = layout.unpack_from(self._data, self._start + position)
                size = values * _SIZES.get(kind, 0)
                offset = position + layout.size
                if size > inline:
                    offset = self._integer("Q" if self._big else "I", offset)
            except (struct.error, ValueError):
                return
            there = max(0, len(self._data) - self._start - offset)
            yield Entry(tag, kind, values, offset, min(size, there))

    def integers(self, entry: Entry, most: int = 16) -> tuple[int, ...]:
        """The first values of an entry that holds whole numbers, else nothing."""
        code = _INTEGERS.get(entry.kind)
        if code is None:
            return ()
        count = min(entry.size // struct.calcsize(f"={code}"), most)
        if count == 0:
            return ()
        return struct.unpack_from(
            f"{self._order}{count}{code}", self._data, self._start + entry.offset
        )

    def bytes_of(self, entry: Entry, most: int = 64) -> bytes:
        """The first bytes of an entry."""
        start = self._start + entry.offset
        return self._data[start : start + min(entry.size, most)]

    def _integer(self, code: str, offset: int) -> int:
        size = struct.calcsize(f"={code}")
        value = self._data[self._start + offset : self._start + offset + size]
        if len(value) < size:
            raise ValueError("cut off")
        return int.from_bytes(value, "little" if self._order == "<" else "big")


def is_bomb(data: bytes) -> bool:
    """True where the first directory's entries together hold many times the bytes of the block."""
    try:
        block = Block(data)
    except ValueError:
        return False
    return sum(entry.size for entry in block.entries()) > 4 * len(data) + 65_536


def interoperability(exif: bytes) -> bytes:
    """The interoperability index of an EXIF block, such as `R98` or `R03`; empty for none."""
    try:
        block = Block(exif)
    except ValueError:
        return b""
    directory: int | None = None
    for tag in (_EXIF_IFD, _INTEROP_IFD):
        found = [block.integers(entry) for entry in block.entries(directory) if entry.tag == tag]
        if not found or not found[0]:
            return b""
        directory = found[0][0]
    for entry in block.entries(directory):
        if entry.tag == _INTEROP_INDEX:
            return block.bytes_of(entry).rstrip(b"\0")
    return b""
