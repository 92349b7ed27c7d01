"""Image files of unusual kinds, made byte by byte."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

PNG = b"\x89PNG\r\n\x1a\n"


def photo(width: int = 330, height: int = 220, seed: int = 0) -> Image.Image:
    """Soft random colours: unlike noise they survive compression."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def muted() -> Image.Image:
    """A photo of colours that every colour space has."""
    return photo().point([100 + level // 3 for level in range(256)] * 3)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """A PNG with chunks behind its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def png(samples: npt.NDArray[Any], depth: int, colour: int, *chunks: bytes) -> bytes:
    """A PNG of samples [H,W] or [H,W,C], which lie in it as they are."""
    height, width = samples.shape[:2]
    rows = samples.reshape(height, -1)
    if depth == 16:
        lines = [b"\0" + row.astype(">u2").tobytes() for row in rows]
    else:
        bits = ((rows[..., None] >> np.arange(depth)[::-1]) & 1).astype(np.uint8)
        lines = [b"\0" + np.packbits(row.reshape(-1)).tobytes() for row in bits]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"".join(lines)))
    return PNG + chunk(b"IHDR", header) + b"".join(chunks) + data + chunk(b"IEND", b"")


def tags(entries: Sequence[tuple[int, int, int, int]], *, behind: bytes = b"") -> bytes:
    """A TIFF header and a directory of (tag, type, count, value or offset), and what comes after.

    `behind` begins at `offset_behind(len(entries))`.
    """
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + b"\0\0\0\0" + behind


def offset_behind(entries: int) -> int:
    return 8 + 2 + 12 * entries + 4


def tiff(
    strip: bytes, size: tuple[int, int], *, bits: int, photometric: int, sample_format: int = 1
) -> bytes:
    """A grey TIFF of one strip, little-endian and not compressed."""
    entries = [
        (256, 4, 1, size[0]), (257, 4, 1, size[1]), (258, 3, 1, bits), (259, 3, 1, 1),
        (262, 3, 1, photometric), (273, 4, 1, offset_behind(10)), (277, 3, 1, 1),
        (278, 4, 1, size[1]), (279, 4, 1, len(strip)), (339, 3, 1, sample_format),
    ]  # fmt: skip
    return tags(entries, behind=strip)


def segment(code: int, data: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes([0xFF, code]) + struct.pack(">H", len(data) + 2) + data


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """A JPEG with segments in front of the others."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def scans(count: int) -> bytes:
    """A progressive JPEG that goes over its picture more often."""
    data = encoded(photo(), "JPEG", progressive=True)
    end = data.rindex(b"\xff\xd9")
    start = data.rindex(b"\xff\xda", 0, end)
    return data[:end] + data[start:end] * count + data[end:]


def box(name: bytes, data: bytes) -> bytes:
    """A box of ISO base media."""
    return struct.pack(">I", len(data) + 8) + name + data


def avif(primaries: int, transfer: int) -> bytes:
    """An AVIF of `muted` that states these code points."""
    data = encoded(muted(), "AVIF", quality=95, subsampling="4:4:4")
    start = data.index(b"colrnclx")
    points = struct.pack(">HH", primaries, transfer)
    return data[: start + 8] + points + data[start + 12 :]


def dcf_exif(index: bytes) -> bytes:
    """An EXIF block whose interoperability index is this."""
    inner = offset_behind(1)
    last = inner + 2 + 12 + 4
    exif_ifd = struct.pack("<H", 1) + struct.pack("<HHII", 0xA005, 4, 1, last) + b"\0\0\0\0"
    value = index.ljust(4, b"\0")
    interop = struct.pack("<H", 1) + struct.pack("<HHI4s", 1, 2, 4, value) + b"\0\0\0\0"
    return b"Exif\0\0" + tags([(0x8769, 4, 1, inner)], behind=exif_ifd + interop)


def profile(
    name: str,
    *,
    curve: float = 0.0,
    columns: Sequence[Sequence[float]] | None = None,
    grey: bool = False,
) -> bytes:
    """An ICC profile under any name: sRGB's, with another gamma or other primaries.

    Args:
        name: The description.
        curve: The gamma; 0 for sRGB's curve.
        columns: XYZ of red, green and blue, relative to D50; None for sRGB's.
        grey: A profile for grey pictures.
    """
    xyz = columns or [[0.4361, 0.2225, 0.0139], [0.3851, 0.7169, 0.0971], [0.1431, 0.0606, 0.7141]]
    if curve:
        tone = struct.pack(">4sIIH", b"curv", 0, 1, round(curve * 256)) + b"\0\0"
    else:
        parts = [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045]
        tone = struct.pack(">4sIHH", b"para", 0, 3, 0)
        tone += b"".join(_fixed(part) for part in parts)
    text = name.encode("ascii") + b"\0"
    described = struct.pack(">4sII", b"desc", 0, len(text)) + text + bytes(78)
    found = {
        b"desc": described,
        b"wtpt": _xyz([0.9642, 1.0, 0.8249]),
    }
    if grey:
        found[b"kTRC"] = tone
    else:
        found |= {b"rXYZ": _xyz(xyz[0]), b"gXYZ": _xyz(xyz[1]), b"bXYZ": _xyz(xyz[2])}
        found |= {b"rTRC": tone, b"gTRC": tone, b"bTRC": tone}
    offset = 128 + 4 + 12 * len(found)
    table, data = struct.pack(">I", len(found)), b""
    for tag, value in found.items():
        table += struct.pack(">4sII", tag, offset + len(data), len(value))
        data += value.ljust(-(-len(value) // 4) * 4, b"\0")
    header = struct.pack(
        ">I4sI4s4s4s12s4s4sIIIQI12s4s44s",
        offset + len(data), b"test", 0x02100000, b"mntr", b"GRAY" if grey else b"RGB ", b"XYZ ",
        bytes(12), b"acsp", b"\0\0\0\0", 0, 0, 0, 0, 0, _xyz([0.9642, 1.0, 0.8249])[8:], b"test",
        bytes(44),
    )  # fmt: skip
    made = header + table + data
    ImageCms.ImageCmsProfile(io.BytesIO(made))
    return made


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_fixed, values))
