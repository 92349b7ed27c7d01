"""Cost of a file: known, and refused, before a decoder is asked."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from tests.serving.files import (
    PNG,
    box,
    chunk,
    encoded,
    offset_behind,
    photo,
    png,
    scans,
    segment,
    tags,
    with_chunks,
    with_segments,
)

from iq_serving.contract import LIMITS, Limits
from iq_serving.errors import ImageError
from iq_serving.headers import MAX_SCANS, read_header
from iq_serving.preprocessing import load_pixels, open_image

SIZE = (40, 60)
JPEG = encoded(photo(), "JPEG", quality=95)


@pytest.fixture
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test whose file reaches a decoder."""

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("a decoder was asked")

    monkeypatch.setattr(Image, "open", opened)


def code(data: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(ImageError) as caught:
        load_pixels(data, image_size=SIZE, limits=limits)
    assert caught.value.text
    return caught.value.code


def webp(kind: bytes, body: bytes) -> bytes:
    inner = b"WEBP" + kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(inner)) + inner


def icon(inner: bytes) -> bytes:
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(inner), 22) + inner


def png_header(width: int, height: int) -> bytes:
    return PNG + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))


BOMBS = {
    "WebP, lossless": webp(b"VP8L", b"\x2f" + struct.pack("<I", 16382 | 12299 << 14) + bytes(8)),
    "WebP of few bytes": webp(b"VP8L", b"\x2f" + struct.pack("<I", 16382 | 12199 << 14) + bytes(8)),
    "PNG of few bytes": png_header(16_000, 12_000),
    "WebP, lossy": webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 16383, 16383)),
    "WebP, extended": webp(b"VP8X", bytes(4) + (16382).to_bytes(3, "little") * 2),
    "PNG": png_header(90_000, 90_000),
    "GIF": b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\0\0\0",
    "icon with a PNG": icon(png_header(90_000, 90_000)),
    "icon with a bitmap": icon(struct.pack("<Iii", 40, 30_000, 60_000) + bytes(28)),
    "JPEG": b"\xff\xd8"
    + segment(0xC0, struct.pack(">BHHB", 8, 65_000, 65_000, 1) + b"\1\x11\0")
    + segment(0xDA, b"\1\1\0\0\x3f\0"),
}


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("name", BOMBS)
def test_pixels_are_counted_before_anything_is_decoded(name: str) -> None:
    assert code(BOMBS[name]) == "TOO_LARGE"


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "JPEG2000", "PPM", "TGA", "AVIF", "ICO"])
def test_the_limit_of_pixels_holds_for_every_format(kind: str) -> None:
    data = encoded(photo(256, 128), kind, **({"sizes": [(256, 128)]} if kind == "ICO" else {}))
    assert load_pixels(data, image_size=SIZE).shape == (*SIZE, 3)
    assert code(data, Limits(max_pixels=256 * 128 - 1)) == "TOO_LARGE"


def test_few_bytes_tell_no_photo() -> None:
    # Formats of which only the decoder knows the size.
    plain = [(256, 4, 1, 6000), (257, 4, 1, 4000), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    data = tags([*plain, (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 4000), (279, 4, 1, 9)])
    assert code(data) == "TOO_LARGE"
    assert code(data + bytes(20_000)) == "UNREADABLE"


def test_a_decoder_that_lets_no_thread_run_gets_less() -> None:
    data = bytearray(encoded(photo(), "JPEG2000", no_jp2=True)) + bytes(100_000)
    assert load_pixels(bytes(data), image_size=SIZE).shape == (*SIZE, 3)
    data[8:16] = struct.pack(">II", 10_000, 6000)
    assert code(bytes(data)) == "TOO_LARGE"


def test_the_largest_photos_are_scored() -> None:
    # The smallest file that a JPEG of so many pixels can have: one grey all over.
    data = encoded(Image.new("L", (16_000, 12_000), 128), "JPEG")
    assert load_pixels(data, image_size=SIZE).shape == (*SIZE, 3)


@pytest.mark.usefixtures("no_decoder")
def test_scans_are_counted() -> None:
    assert code(scans(MAX_SCANS)) == "TOO_LARGE"


def test_an_end_that_is_none_hides_no_scans() -> None:
    data = scans(MAX_SCANS)
    start = data.index(b"\xff\xda")
    hidden = segment(0xFE, b"\xff\xd9")
    assert code(data[:start] + hidden + data[start:]) == "TOO_LARGE"
    second = data.index(b"\xff\xda", start + 2)
    assert code(data[:second] + hidden + data[second:]) == "TOO_LARGE"


def test_ordinary_progressive_photos_are_scored() -> None:
    data = encoded(photo(), "JPEG", progressive=True)
    assert data.count(b"\xff\xda") > 3
    assert load_pixels(data, image_size=SIZE).shape == (*SIZE, 3)


def pointing_at_itself(entries: int) -> bytes:
    """Tags that all hold the same many bytes."""
    size = 60_000 - offset_behind(entries)
    each = [(40_000 + i, 7, size, offset_behind(entries)) for i in range(entries)]
    return tags(each, behind=bytes(size))


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    "data",
    [
        with_segments(JPEG, *[segment(0xE1, b"Exif\0\0")] * 1000),
        with_segments(JPEG, segment(0xE1, b"Exif\0\0" + pointing_at_itself(2000))),
        with_segments(JPEG, *[segment(0xFE, b"")] * 20_000),
        with_chunks(png_header(9, 9), *[chunk(b"tEXt", b"")] * 110_000),
        with_chunks(encoded(photo()), chunk(b"eXIf", pointing_at_itself(2000))),
        pointing_at_itself(2000),
        tags([(256, 4, 1, 9), (257, 4, 1, 9), (273, 4, 500_000, 8)]),
        b"GIF89a\x09\0\x09\0\0\0\0\x21\xfe" + (b"\xff" + bytes(255)) * 9000 + b"\0;",
    ],
    ids=["EXIF segments", "EXIF tags", "segments", "chunks", "eXIf", "tags", "strips", "comments"],
)
def test_parts_are_counted(data: bytes) -> None:
    assert code(data) == "TOO_LARGE"


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("fill", [b"\xff", b"\0"])
def test_stray_bytes_of_a_jpeg_are_not_skipped_one_by_one(fill: bytes) -> None:
    assert code(b"\xff\xd8\xff" + fill * 5_000_000 + JPEG[2:]) == "UNREADABLE"


def packed_text(name: bytes, size: int) -> bytes:
    return chunk(b"iTXt", name + b"\0\1\0\0\0" + zlib.compress(bytes(size), 9))


@pytest.mark.parametrize(
    "chunks",
    [
        [packed_text(b"XML:com.adobe.xmp", 1_200_000)],
        [packed_text(b"a", 200_000_000)],
        [packed_text(b"a", 900_000)] * 100,
        [chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(3_000_000)))],
        [chunk(b"tEXt", b"a\0" + b"x" * 3_000_000)],
        [chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(3_000_000)))],
        [chunk(b"iTXt", b"a\0\1\0\0\0no zlib")],
    ],
)
def test_long_text_of_a_png_is_left_out(chunks: list[bytes]) -> None:
    plain = encoded(photo())
    found = load_pixels(with_chunks(plain, *chunks), image_size=SIZE)
    np.testing.assert_array_equal(found, load_pixels(plain, image_size=SIZE))


def media(brand: bytes, *others: bytes) -> bytes:
    return box(b"ftyp", brand + bytes(4) + b"".join(others)) + box(b"mdat", bytes(200))


def raw(make: str, *, in_first: bool, tag: int, value: int) -> bytes:
    """A TIFF with the preview of a RAW, whose sensor's data lie in another directory."""
    preview = [(254, 4, 1, 1), (256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (262, 3, 1, 1)]
    last = offset_behind(len(preview) + 4)
    sensor = struct.pack("<H", 1) + struct.pack("<HHII", 262, 3, 1, value) + bytes(4)
    entries = [
        *preview, (273, 4, 1, 8), (279, 4, 1, 64), (330, 4, 1, last),
        (tag, 1, 4, 0x401) if in_first else (271, 2, 4, 0x4E494B),
    ]  # fmt: skip
    return tags(sorted(entries), behind=sensor + make.encode())


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    ("data", "told"),
    [
        (media(b"heic", b"mif1", b"heic"), r"iq-client\[heif\]"),
        (media(b"mif1", b"heic"), r"iq-client\[heif\]"),
        (media(b"crx ", b"isom"), r"iq-client\[raw\]"),
        (media(b"isom", b"mp41"), "media"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99), "JPEG XL"),
        (b"\xff\x0a" + bytes(99), "JPEG XL"),
        (raw("DNG", in_first=True, tag=50706, value=2), r"iq-client\[raw\]"),
        (raw("NEF", in_first=False, tag=0, value=32803), r"iq-client\[raw\]"),
        (raw("DNG", in_first=False, tag=0, value=34892), r"iq-client\[raw\]"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(99), r"iq-client\[raw\]"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(99), r"iq-client\[raw\]"),
        (b"IIU\0\x18\0\0\0" + bytes(99), r"iq-client\[raw\]"),
        (b"%PDF-1.7" + bytes(99), "PDF"),
    ],
)
def test_what_is_known_and_not_served_says_what_to_do(data: bytes, told: str) -> None:
    with pytest.raises(ImageError, match=f"UNSUPPORTED.*{told}"):
        load_pixels(data, image_size=SIZE)


def test_a_kind_that_pillow_knows_is_named_without_being_opened() -> None:
    assert code(encoded(photo(), "EPS")) == "UNSUPPORTED"
    assert code(b"8BPS\0\1" + bytes(99)) == "UNSUPPORTED"


def test_a_jpeg_of_twelve_bits_is_unsupported() -> None:
    frame = JPEG.index(b"\xff\xc0") + 4
    assert code(JPEG[:frame] + b"\x0c" + JPEG[frame + 1 :]) == "UNSUPPORTED"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end_is_scored_where_all_of_it_is_there(progressive: bool) -> None:
    data = encoded(photo(), "JPEG", quality=95, progressive=progressive)
    whole = load_pixels(data, image_size=SIZE)
    assert data.endswith(b"\xff\xd9")
    np.testing.assert_array_equal(load_pixels(data[:-2], image_size=SIZE), whole)
    for part in (0.98, 0.75, 0.5):
        assert code(data[: int(len(data) * part)]) == "UNREADABLE"


@pytest.mark.parametrize("chunks", [[], [chunk(b"tEXt", b"a\0" + b"x" * 3_000_000)]])
def test_a_png_without_its_end_is_scored_where_all_of_it_is_there(chunks: list[bytes]) -> None:
    data = with_chunks(encoded(photo()), *chunks)
    whole = load_pixels(data, image_size=SIZE)
    for end in (1, 4, 11, 12):
        np.testing.assert_array_equal(load_pixels(data[:-end], image_size=SIZE), whole)
    behind = len(encoded(photo()))
    for part in (0.98, 0.75, 0.5):
        assert code(data[: len(data) - round(behind * (1 - part))]) == "UNREADABLE"


def test_a_header_knows_the_size_without_a_decoder() -> None:
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "ICO"):
        options = {"sizes": [(64, 48)]} if kind == "ICO" else {}
        header = read_header(encoded(photo(64, 48), kind, **options), LIMITS)
        assert (header.kind, header.width, header.height) == (kind, 64, 48)


def test_the_estimate_of_memory_grows_with_the_picture() -> None:
    small, large = (
        read_header(png_header(side, side) + bytes(side**2 // 1000), LIMITS)
        for side in (100, 10_000)
    )
    assert large.memory(10_000, 10_000, reduced=True) > 10 * 10_000**2
    assert small.memory(100, 100, reduced=True) < 10 * 2**20
    jpeg = read_header(JPEG, LIMITS)
    assert jpeg.memory(9000, 9000, reduced=True) < jpeg.memory(9000, 9000, reduced=False)


def test_a_file_of_sixteen_bits_is_not_taken_for_a_bomb() -> None:
    samples = np.arange(64 * 64).reshape(64, 64) * 16
    assert open_image(png(samples, 16, 0)).size == (64, 64)
    assert open_image(encoded(photo(), "TIFF")).size == (330, 220)
