"""Kinds of files by names and first bytes: photos, those that need an extra, and others."""

from __future__ import annotations

import struct
from typing import Final, Literal, TypeAlias

# Formats that the server decodes. A file that is named itself is sent whatever its name.
SERVED: Final = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".avif", ".bmp", ".tif",
    ".tiff", ".jp2", ".j2k", ".ppm", ".pgm", ".pnm", ".ico", ".tga",
})  # fmt: skip
HEIF: Final = frozenset({".heic", ".heif", ".hif"})
JPEG_XL: Final = frozenset({".jxl"})
RAW: Final = frozenset({
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef",
    ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf",
    ".srw", ".x3f",
})  # fmt: skip
PHOTOS: Final = SERVED | HEIF | JPEG_XL | RAW
VIDEOS: Final = frozenset({
    ".3gp", ".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".mts", ".webm", ".wmv",
})  # fmt: skip
SIDECARS: Final = frozenset({".aae", ".dop", ".pp3", ".thm", ".xmp"})

Encoded: TypeAlias = Literal["HEIC", "JPEG XL", "RAW"]

_HEIF_BRANDS: Final = frozenset({
    b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1",
})  # fmt: skip
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_JPEG_XL_STARTS: Final = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_TIFF_STARTS: Final = (b"II*\0", b"MM\0*")
# Olympus, Panasonic, Fujifilm, Minolta, Sigma, Canon before 2004.
_RAW_STARTS: Final = (
    b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"\0MRM", b"FOVb", b"II\x1a\0\0\0HEAP",
)  # fmt: skip
_CANON_MARK: Final = slice(8, 10)  # of a CR2, behind the TIFF header
_DNG_VERSION: Final = 0xC612


def needs_decoder(data: bytes, suffix: str = "") -> Encoded | None:
    """The kind of a photo that the server does not decode.

    Args:
        data: The bytes of a file. They decide: JPEGs are often named `.HEIC`.
        suffix: The end of its name in lower case, such as `.nef`: many RAW formats are TIFFs, whose
            first picture is a thumbnail, and differ from others by their names alone.

    Returns:
        The kind; None for what is sent as it is.
    """
    if data[4:8] == b"ftyp":
        (length,) = struct.unpack(">I", data[:4])
        brands = {data[start : start + 4] for start in (8, *range(16, min(length, len(data)), 4))}
        if b"crx " in brands:
            return "RAW"
        return "HEIC" if brands & _HEIF_BRANDS and not brands & _AVIF_BRANDS else None
    if data.startswith(_JPEG_XL_STARTS):
        return "JPEG XL"
    if data.startswith(_RAW_STARTS):
        return "RAW"
    if data.startswith(_TIFF_STARTS) and (
        suffix in RAW or data[_CANON_MARK] == b"CR" or _DNG_VERSION in _first_tags(data)
    ):
        return "RAW"
    return None


def left_out_as(suffix: str) -> str:
    """The word under which a file that is no photo is counted, by the end of its name."""
    if suffix in VIDEOS:
        return "video"
    return "sidecar" if suffix in SIDECARS else "other file"


def _first_tags(data: bytes) -> set[int]:
    """Numbers of the tags in a TIFF's first directory; none where it is cut off."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        return {struct.unpack_from(f"{order}H", data, start + 2 + 12 * i)[0] for i in range(count)}
    except struct.error:
        return set()
