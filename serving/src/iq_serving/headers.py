"""A file's own word on itself, read before any decoder is asked: what it is and what it would cost.

Decoders take memory and time as soon as they open a file. So pixels, text, tags, segments and scans
are counted here first, in a single cheap pass over the bytes that name them.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from PIL import Image

from . import ifd
from .contract import Limits
from .errors import ImageError

# Photos have ten scans, optimised ones twenty or thirty. Each goes over the whole picture.
MAX_SCANS: Final = 100
# Segments of a JPEG before its pixels, chunks of a PNG, strips or tiles of a TIFF.
MAX_PARTS: Final = 100_000
_MAX_SEGMENTS: Final = 10_000
_MAX_EXIF_SEGMENTS: Final = 64  # 4 MB; the decoder copies all before for each
_MAX_FILL: Final = 65_536  # bytes between segments, which the decoder skips one by one
_MAX_TEXT: Final = 2**20  # bytes of a PNG's text or profile once unpacked; the decoder's own limit
_MAX_ALL_TEXT: Final = 16 * 2**20
_MAX_EXTENSIONS: Final = 2**20  # bytes before a GIF's first picture
# Pixels for each byte of a file. Of one grey all over, a JPEG has 85, a 24-bit PNG 323, a lossy
# WebP 562, a GIF 1,350, a lossless WebP 26,000; photos of the lowest quality have less than 400.
_MAX_DENSITY: Final = 2000
_ANY_DENSITY: Final = 16_000_000  # pixels that are cheap enough to be of one colour
# The decoder of JPEG 2000 alone keeps all threads waiting, a second for each ten million pixels.
_MAX_PIXELS: Final = {"JPEG2000": 50_000_000}

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_END: Final = b"\0\0\0\0IEND\xaeB`\x82"
_JPEG_MARKER: Final = re.compile(rb"\xff[^\x00\xff]")
_SCAN_MARKER: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_TIFF_HEADER: Final = re.compile(rb"II\*\0|MM\0\*")
_START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = 0xD9
_EXIF_SEGMENT: Final = 0xE1
_FRAMES: Final = frozenset({*range(0xC0, 0xD0), 0xDE}) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_BARE: Final = frozenset({0x01, *range(0xD0, 0xDA)})  # markers that no length follows

# Brands of ISO base media files (ISO/IEC 23008-12 and those of makers).
_AVIF: Final = frozenset({b"avif", b"avis"})
_HEIF: Final = frozenset({
    b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2",
    b"msf1",
})  # fmt: skip
# First bytes of kinds that Pillow does not know.
_RAW: Final = {
    b"IIRO": "ORF", b"IIRS": "ORF", b"MMOR": "ORF", b"IIU\0": "RW2", b"FUJIFILMCCD-RAW": "RAF",
    b"FOVb": "X3F", b"\0MRM": "MRW",
}  # fmt: skip
_OTHERS: Final = {
    b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n": "JPEG XL", b"%PDF-": "PDF",
    b"II\xbc": "JPEG XR", b"\x76\x2f\x31\x01": "OpenEXR", b"#?RADIANCE": "Radiance HDR",
}  # fmt: skip
_CONVERT: Final = "convert to JPEG or PNG"

# Tags of a TIFF.
_STRIPS: Final = frozenset({273, 324})
_PHOTOMETRIC: Final = 262
_SUB_IFDS: Final = 330
_DNG_VERSION: Final = 50706
_CFA: Final = 32803
_LINEAR_RAW: Final = 34892

# Peak memory of decoding and resizing, in bytes a pixel of the file.
_COSTS: Final = {"WEBP": 16.0, "AVIF": 10.0, "JPEG2000": 8.0, "ICO": 14.0}
_COST: Final = 10.0  # 32 bits a pixel, and a copy in the mode that is resized
_PLAIN_PNG: Final = 6.0
_JPEG_COST: Final = 5.0
_REDUCED_JPEG: Final = 1.0
# Of one side: the weights of a resampling filter.
_COST_OF_SIDE: Final = 16
_COST_OF_ANY: Final = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Header:
    """A file that may be decoded.

    Attributes:
        data: The bytes to decode: the file's, without text that a decoder would stumble over.
        kind: Pillow's name of the format where the bytes name one, else empty.
        width: Pixels in a row; 0 where only the decoder knows.
        height: Rows; 0 where only the decoder knows.
        bytes_per_pixel: Memory at the peak of decoding it whole.
        reducible: True where the decoder can leave out most of the pixels.
        cicp: Code points of its colours (ITU-T H.273): primaries and transfer; None where the file
            states none.
    """

    data: bytes
    kind: str = ""
    width: int = 0
    height: int = 0
    bytes_per_pixel: float = _COST
    reducible: bool = False
    cicp: tuple[int, int] | None = None

    def memory(self, width: int, height: int, *, reduced: bool) -> int:
        """Bytes that decoding takes at its peak, estimated from above.

        Args:
            width: Pixels in a row.
            height: Rows.
            reduced: A reduced picture is enough.
        """
        each = _REDUCED_JPEG if reduced and self.reducible else self.bytes_per_pixel
        return round(each * width * height) + _COST_OF_SIDE * (width + height) + _COST_OF_ANY

    def check_pixels(self, width: int, height: int, limits: Limits) -> None:
        """Refuses pictures of more pixels than their format may have, or than their bytes can tell.

        Args:
            width: Pixels in a row.
            height: Rows.
            limits: Of any picture.

        Raises:
            ImageError: `TOO_LARGE`.
        """
        most = min(limits.max_pixels, _MAX_PIXELS.get(self.kind, limits.max_pixels))
        check_pixels(width, height, most)
        if width * height > max(_ANY_DENSITY, _MAX_DENSITY * len(self.data)):
            raise ImageError(
                "TOO_LARGE",
                f"{width}x{height} pixels in {len(self.data)} bytes, more than "
                f"{_MAX_DENSITY} a byte: no photo has so little to show",
            )


def read_header(data: bytes, limits: Limits) -> Header:
    """Looks at a file before it is decoded.

    Args:
        data: The file's bytes.
        limits: Larger files and pictures are refused.

    Returns:
        Its header.

    Raises:
        ImageError: `EMPTY`; `TOO_LARGE` for bytes, pixels, text, tags, segments or scans;
            `UNSUPPORTED` for a known kind that is not served.
    """
    if not data:
        raise ImageError("EMPTY", "the file has no bytes")
    if len(data) > limits.max_bytes:
        raise too_large(len(data), "bytes", limits.max_bytes)
    try:
        header = _header(data, limits)
    except (IndexError, struct.error) as error:
        raise ImageError("UNREADABLE", "cut off in its header") from error
    header.check_pixels(header.width, header.height, limits)
    return header


def _header(data: bytes, limits: Limits) -> Header:
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(_PNG):
        return _png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data[4:8] == b"ftyp":
        return _media(data)
    if data[:4] in ifd.HEADERS:
        return _tiff(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _gif(data)
    if data.startswith(b"\0\0\1\0"):
        return _ico(data, limits)
    return _other(data)


def check_pixels(width: int, height: int, limit: int) -> None:
    """Refuses pictures of more pixels than the limit.

    Raises:
        ImageError: `TOO_LARGE`.
    """
    if width * height > limit:
        raise ImageError("TOO_LARGE", f"{width}x{height} pixels, more than the limit of {limit}")


def too_large(found: int, of: str, limit: int) -> ImageError:
    """The error of a file with too many of something."""
    return ImageError("TOO_LARGE", f"{found} {of}, more than the limit of {limit}")


def unsupported(kind: str) -> ImageError:
    """The error of a known kind of file that is not served."""
    return ImageError("UNSUPPORTED", f"{kind} files are not served; {_CONVERT}")


def unsupported_raw(kind: str) -> ImageError:
    """The error of a camera's RAW file."""
    return ImageError(
        "UNSUPPORTED",
        f"camera RAW ({kind}) is not served; develop it to JPEG, or install 'iq-client[raw]'",
    )


def _jpeg(data: bytes) -> Header:
    """Segments up to the first scan, as the decoder goes through them, then the scans."""
    position, segments, fill = 2, 0, 0
    exif: list[bytes] = []
    width = height = components = 0
    progressive = False
    while True:
        marker = data[position : position + 2]
        if len(marker) == 2 and marker[0] == 0xFF and marker[1] not in (0x00, 0xFF):
            code = marker[1]
            position += 2
        else:  # stray bytes
            found = _JPEG_MARKER.search(data, position)
            if found is None:
                break
            fill += found.start() - position
            if fill > _MAX_FILL:
                raise ImageError("UNREADABLE", f"damaged JPEG: {fill} stray bytes in its header")
            code = data[found.start() + 1]
            position = found.end()
        segments += 1
        if segments > _MAX_SEGMENTS:
            raise too_large(segments, "segments before the pixels", _MAX_SEGMENTS)
        if code in _BARE:
            continue
        size = int.from_bytes(data[position : position + 2], "big")
        if code == _EXIF_SEGMENT and data.startswith(b"Exif\0\0", position + 2):
            exif.append(data[position + 8 : position + size])
            if len(exif) > _MAX_EXIF_SEGMENTS:
                raise too_large(len(exif), "EXIF segments", _MAX_EXIF_SEGMENTS)
        elif code in _FRAMES:
            precision = data[position + 2 : position + 3]
            if precision and precision != b"\x08" and precision[0] in (2, 12, 16):
                raise ImageError(
                    "UNSUPPORTED", f"JPEG of {precision[0]} bits a sample; convert to 8 bits"
                )
            height = int.from_bytes(data[position + 3 : position + 5], "big")
            width = int.from_bytes(data[position + 5 : position + 7], "big")
            components = int.from_bytes(data[position + 7 : position + 8], "big")
            progressive = code in _PROGRESSIVE
        elif code == _START_OF_SCAN:
            _check_tags(b"".join(exif))
            in_scan = int.from_bytes(data[position + 2 : position + 3], "big")
            if progressive or in_scan < components:
                _check_scans(data, position)
                return Header(data, "JPEG", width, height, _JPEG_COST)
            return Header(data, "JPEG", width, height, _JPEG_COST, reducible=True)
        position += max(size, 2)
    return Header(data, "JPEG", width, height, _JPEG_COST)


def _check_scans(data: bytes, position: int) -> None:
    """Counts the scans of a JPEG from within the header of its first one."""
    scans = 1
    while True:
        position += max(int.from_bytes(data[position : position + 2], "big"), 2)
        found = _SCAN_MARKER.search(data, position)
        if found is None:
            return
        code = data[found.start() + 1]
        position = found.end()
        if code == _END_OF_IMAGE:
            return
        if code == _START_OF_SCAN:
            scans += 1
            if scans > MAX_SCANS:
                raise ImageError("TOO_LARGE", f"a JPEG of more than {MAX_SCANS} scans")


def _check_tags(block: bytes) -> None:
    if ifd.is_bomb(block):
        raise ImageError("TOO_LARGE", "its tags point at many times the bytes that it has")


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """A PNG's chunks: name, where its data begin, and how many bytes they are."""
    position, chunks = len(_PNG), 0
    while position + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        yield name, position + 8, length
        position += 12 + length
        chunks += 1
        if chunks > MAX_PARTS:
            raise too_large(chunks, "chunks", MAX_PARTS)


def _png(data: bytes) -> Header:
    """Size, colours, and what of its text the decoder would refuse."""
    width = height = 0
    cost = _COST
    cicp = None
    unpacked = 0
    left_out = []
    whole, ended = len(_PNG), False
    for name, start, length in _chunks(data):
        if start + length + 4 <= len(data):
            whole = start + length + 4
            ended |= name == b"IEND"
        if name == b"IHDR" and length >= 13:
            width, height, depth, colour = struct.unpack_from(">IIBB", data, start)
            cost = _PLAIN_PNG if depth <= 8 and colour in (0, 2) else _COST
        elif name == b"cICP" and length >= 4:
            cicp = (data[start], data[start + 1])
        elif name == b"tRNS":
            cost = _COST
        elif name == b"eXIf":
            _check_tags(data[start : start + length])
        elif name in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
            size = _unpacked(data[start : start + length], name)
            if size > _MAX_TEXT or unpacked + size > _MAX_ALL_TEXT:
                left_out.append((start - 8, start + length + 4))
            else:
                unpacked += size
    if not ended:  # a picture without rows is still found out by the decoder
        left_out.append((whole, len(data)))
    if left_out:
        data = _without(data, left_out)
    if not ended:
        data += _PNG_END
    return Header(data, "PNG", width, height, cost, cicp=cicp)


def _unpacked(chunk: bytes, name: bytes) -> int:
    """Bytes of a chunk of text or of a profile once unpacked, counted to one above the limit."""
    if name == b"tEXt":
        return len(chunk)
    _, _, rest = chunk.partition(b"\0")
    if name == b"iTXt":
        if rest[:1] != b"\1":
            return len(chunk)
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    else:
        rest = rest[1:]
    try:
        return len(zlib.decompressobj().decompress(rest, _MAX_TEXT + 1))
    except zlib.error:
        return len(chunk)


def _without(data: bytes, parts: list[tuple[int, int]]) -> bytes:
    view = memoryview(data)
    kept, position = [], 0
    for start, end in parts:
        kept.append(view[position:start])
        position = end
    return b"".join([*kept, view[position:]])


def _webp(data: bytes) -> Header:
    """The canvas, which the decoder would allocate twice before it looks at a pixel."""
    name = data[12:16]
    width = height = 0
    if name == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
        _check_webp_tags(data)
    elif name == b"VP8L" and data[20:21] == b"\x2f":
        bits = int.from_bytes(data[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif name == b"VP8 ":
        width = int.from_bytes(data[26:28], "little") & 0x3FFF
        height = int.from_bytes(data[28:30], "little") & 0x3FFF
    return Header(data, "WEBP", width, height, _COSTS["WEBP"])


def _check_webp_tags(data: bytes) -> None:
    position = 12
    for _ in range(MAX_PARTS):
        if position + 8 > len(data):
            return
        name, length = struct.unpack_from("<4sI", data, position)
        if name == b"EXIF":
            _check_tags(data[position + 8 : position + 8 + length])
        position += 8 + length + (length & 1)


def _media(data: bytes) -> Header:
    """AVIF, and its relatives that are not served."""
    size = min(int.from_bytes(data[:4], "big"), 4096)
    brands = [data[8:12], *(data[i : i + 4] for i in range(16, min(size, len(data)), 4))]
    if _AVIF.isdisjoint(brands):
        if brands[0] == b"crx ":
            raise unsupported_raw("CR3")
        if not _HEIF.isdisjoint(brands):
            raise ImageError(
                "UNSUPPORTED",
                f"HEIC files are not served; {_CONVERT}, or install 'iq-client[heif]'",
            )
        raise unsupported("video or other ISO media")
    for found in _TIFF_HEADER.finditer(data):  # EXIF is read when the file is opened
        _check_tags(data[found.start() :])
    return Header(data, "AVIF", bytes_per_pixel=_COSTS["AVIF"], cicp=_nclx(data))


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Boxes of ISO base media: name, begin and end of what is in them."""
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if size == 1 and start + 16 <= end:
            size = int.from_bytes(data[body : body + 8], "big")
            body += 8
        stop = end if size == 0 else min(start + size, end)
        if stop < body:
            return
        yield name, body, stop
        start = stop


def _nclx(data: bytes) -> tuple[int, int] | None:
    """Primaries and transfer of the main picture (ISO/IEC 23008-12, 6.5.5)."""
    inside = {name: (a, b) for name, a, b in _boxes(data, 0, len(data))}
    if b"meta" not in inside:
        return None
    start, end = inside[b"meta"]
    meta = {name: (a, b) for name, a, b in _boxes(data, start + 4, end)}
    if b"iprp" not in meta:
        return None
    properties = {name: (a, b) for name, a, b in _boxes(data, *meta[b"iprp"])}
    if b"ipco" not in properties:
        return None
    of_main = _properties_of_main(data, meta.get(b"pitm"), properties.get(b"ipma"))
    for number, (name, a, _) in enumerate(_boxes(data, *properties[b"ipco"]), 1):
        if name == b"colr" and data[a : a + 4] == b"nclx" and (not of_main or number in of_main):
            primaries, transfer = struct.unpack_from(">HH", data, a + 4)
            return primaries, transfer
    return None


def _properties_of_main(
    data: bytes, main: tuple[int, int] | None, associations: tuple[int, int] | None
) -> set[int]:
    """Numbers of the properties that belong to the main picture; empty where it is not said."""
    if main is None or associations is None:
        return set()
    try:
        item = int.from_bytes(data[main[0] + 4 : main[0] + (8 if data[main[0]] else 6)], "big")
        position = associations[0]
        version, wide = data[position], data[position + 3] & 1
        (count,) = struct.unpack_from(">I", data, position + 4)
        position += 8
        for _ in range(min(count, 10_000)):
            length = 4 if version else 2
            found = int.from_bytes(data[position : position + length], "big")
            number = data[position + length]
            position += length + 1
            step = 2 if wide else 1
            listed = {
                int.from_bytes(data[i : i + step], "big") & (0x7FFF if wide else 0x7F)
                for i in range(position, position + number * step, step)
            }
            if found == item:
                return listed
            position += number * step
    except (IndexError, struct.error):
        pass
    return set()


def _tiff(data: bytes) -> Header:
    """Tags, strips, and whether the first picture is only the preview of a camera's RAW."""
    _check_tags(data)
    if data[8:10] == b"CR":
        raise unsupported_raw("CR2")
    try:
        block = ifd.Block(data)
    except ValueError:
        return Header(data, "TIFF")
    sub_ifds: list[int] = []
    for entry in block.entries():
        if entry.tag in _STRIPS and entry.values > MAX_PARTS:
            raise too_large(entry.values, "strips or tiles", MAX_PARTS)
        if entry.tag == _DNG_VERSION:
            raise unsupported_raw("DNG")
        if entry.tag == _PHOTOMETRIC and _is_raw(block.integers(entry)):
            raise unsupported_raw("TIFF with a colour filter array")
        if entry.tag == _SUB_IFDS:
            sub_ifds += block.integers(entry)
    for directory in sub_ifds:
        for entry in block.entries(directory):
            if entry.tag == _PHOTOMETRIC and _is_raw(block.integers(entry)):
                raise unsupported_raw("TIFF with a colour filter array")
    return Header(data, "TIFF")


def _is_raw(photometric: tuple[int, ...]) -> bool:
    return bool(photometric) and photometric[0] in (_CFA, _LINEAR_RAW)


def _gif(data: bytes) -> Header:
    """A GIF; what precedes its first picture, which the decoder would put together, is limited."""
    position = 13
    if len(data) > 10 and data[10] & 0x80:
        position += 3 << ((data[10] & 7) + 1)
    before = position
    while data[position : position + 1] == b"\x21":
        position += 2
        while position < len(data) and data[position]:
            position += 1 + data[position]
            if position - before > _MAX_EXTENSIONS:
                raise too_large(position - before, "bytes before the picture", _MAX_EXTENSIONS)
        position += 1
    width, height = struct.unpack_from("<HH", data, 6) if len(data) >= 10 else (0, 0)
    return Header(data, "GIF", width, height)


def _ico(data: bytes, limits: Limits) -> Header:
    """Every picture of an icon, one of which the decoder would decode when it opens the file."""
    count = int.from_bytes(data[4:6], "little")
    width = height = 0
    for number in range(count):
        entry = data[6 + 16 * number : 22 + 16 * number]
        if len(entry) < 16:
            break
        size, start = struct.unpack_from("<II", entry, 8)
        if data.startswith(_PNG, start):
            inner = _png(data[start : start + size])
            one = (inner.width, inner.height)
        elif start + 12 <= len(data):
            across, down = struct.unpack_from("<ii", data, start + 4)
            one = (abs(across), abs(down) // 2)
        else:
            continue
        check_pixels(*one, limits.max_pixels)
        if one[0] * one[1] > width * height:
            width, height = one
    return Header(data, "ICO", width, height, _COSTS["ICO"])


def _other(data: bytes) -> Header:
    for start, kind in _RAW.items():
        if data.startswith(start):
            raise unsupported_raw(kind)
    for start, kind in _OTHERS.items():
        if data.startswith(start):
            raise unsupported(kind)
    if data.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")):
        return Header(data, "JPEG2000", bytes_per_pixel=_COSTS["JPEG2000"])
    return Header(data)


def known_kind(data: bytes) -> str:
    """The kind that Pillow takes a file for by its first bytes; empty for none. Opens nothing."""
    for name, (_, accept) in Image.OPEN.items():
        try:
            if accept is not None and accept(data[:16]) is True:
                return name
        except (IndexError, struct.error):
            continue
    return ""
