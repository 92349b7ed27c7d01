"""Every depth and mode is right, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from tests.serving.files import chunk, encoded, photo, png, tiff

from iq_serving.errors import ImageError
from iq_serving.preprocessing import load_pixels

WIDTH, HEIGHT = 64, 40
GREY = np.asarray(photo(WIDTH, HEIGHT).convert("L"))


def pixels(data: bytes) -> npt.NDArray[np.int16]:
    return load_pixels(data, image_size=(HEIGHT, WIDTH)).astype(np.int16)


def assert_grey(data: bytes, expected: npt.NDArray[Any], within: int = 1) -> None:
    assert np.ptp(expected) > 50, "a picture with something in it"
    assert np.abs(pixels(data) - expected[..., None]).max() <= within


def packed(samples: npt.NDArray[Any], bits: int) -> bytes:
    rows = (samples[..., None] >> np.arange(bits)[::-1] & 1).astype(np.uint8)
    return b"".join(np.packbits(row.reshape(-1)).tobytes() for row in rows)


def grey_tiff(bits: int, *, white_is_zero: bool, sample_format: int = 1) -> bytes:
    samples = np.rint(GREY / 255 * (2**bits - 1)).astype(np.int64)
    if white_is_zero:
        samples = 2**bits - 1 - samples
    if bits in (16, 32):
        strip = samples.astype(f"<u{bits // 8}").tobytes()
    else:
        strip = packed(samples, bits)
    return tiff(
        strip, (WIDTH, HEIGHT), bits=bits, photometric=int(not white_is_zero),
        sample_format=sample_format,
    )  # fmt: skip


@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16, 32])
def test_grey_tiffs(bits: int, white_is_zero: bool) -> None:
    data = grey_tiff(bits, white_is_zero=white_is_zero)
    levels = 2**bits - 1
    expected = np.rint(np.rint(GREY / 255 * levels) / levels * 255)
    try:
        assert_grey(data, expected)
    except ImageError as error:
        assert error.code == "UNSUPPORTED"
        assert bits == 32 or (bits == 12 and white_is_zero)


@pytest.mark.parametrize(("bits", "sample_format"), [(8, 2), (16, 2), (32, 1), (32, 2), (32, 3)])
def test_samples_without_a_white_are_refused(bits: int, sample_format: int) -> None:
    with pytest.raises(ImageError, match="UNSUPPORTED"):
        pixels(grey_tiff(bits, white_is_zero=False, sample_format=sample_format))


@pytest.mark.parametrize("maximum", [1, 15, 254, 255, 1023, 4095, 65535])
@pytest.mark.parametrize("kind", [b"P2", b"P5"])
def test_portable_greymaps_of_every_maximum(kind: bytes, maximum: int) -> None:
    samples = np.rint(GREY / 255 * maximum).astype(int)
    header = b"%s\n%d %d\n%d\n" % (kind, WIDTH, HEIGHT, maximum)
    if kind == b"P2":
        body = b" ".join(b"%d" % sample for sample in samples.flat)
    else:
        body = samples.astype(">u2" if maximum > 255 else ">u1").tobytes()
    assert_grey(header + body, np.rint(samples / maximum * 255))


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_transparent_grey_of_a_png(depth: int) -> None:
    levels = 2**depth - 1
    samples = np.rint(GREY / 255 * levels).astype(np.int64)
    key = int(np.median(samples))
    data = png(samples, depth, 0, chunk(b"tRNS", key.to_bytes(2, "big")))
    expected = np.where(samples == key, 255, np.rint(samples / levels * 255))
    assert (samples == key).any() and (samples != key).any()
    assert_grey(data, expected)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_colour_of_a_png(depth: int) -> None:
    levels = 2**depth - 1
    samples = np.rint(np.asarray(photo(WIDTH, HEIGHT)) / 255 * levels).astype(np.int64)
    samples[:10] = samples[20, 20]
    # So near to the transparent colour that 8 bits do not tell them apart.
    samples[10:15] = samples[20, 20] ^ 1
    samples[20, 20] = 0
    key = samples[0, 0]
    data = png(samples, depth, 2, chunk(b"tRNS", key.astype(">u2").tobytes()))
    expected = np.rint(samples / levels * 255)
    expected[:10] = 255
    found = pixels(data)
    assert np.abs(found - expected).max() <= 1
    assert not (found[10:15] == 255).all()


@pytest.mark.parametrize("colour", [2, 4, 6])
def test_sixteen_bits_of_a_png(colour: int) -> None:
    picture = np.asarray(photo(WIDTH, HEIGHT), np.int64)
    if colour == 4:
        picture = GREY.astype(np.int64)[..., None]
    if colour in (4, 6):
        alpha = np.full((HEIGHT, WIDTH, 1), 65_535)
        alpha[:10] = 0
        samples = np.concatenate([picture * 257, alpha], -1)
    else:
        samples = picture * 257
    expected = np.broadcast_to(picture, (HEIGHT, WIDTH, 3)).copy()
    if colour != 2:
        expected[:10] = 255
    assert np.abs(pixels(png(samples, 16, colour)) - expected).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_modes_of_a_tiff(mode: str) -> None:
    picture = photo(WIDTH, HEIGHT)
    if mode == "LAB":
        from PIL import ImageCms

        lab = ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(
            picture, ImageCms.createProfile("sRGB"), lab, outputMode="LAB"
        )
        assert converted is not None
    elif mode == "PA":
        converted = picture.convert("P").convert("PA")
    else:
        converted = picture.convert(mode)
    shown = converted.convert("RGB" if mode != "LAB" else "LAB")
    try:
        data = encoded(converted, "TIFF")
    except (KeyError, OSError):
        pytest.skip(f"Pillow writes no TIFF in {mode}")
    if mode == "LAB":
        shown = picture
    assert np.abs(pixels(data) - np.asarray(shown, np.int16)).mean() < 1.5


def test_a_float_picture_is_refused() -> None:
    with pytest.raises(ImageError, match="UNSUPPORTED"):
        pixels(encoded(Image.new("F", (9, 9)), "TIFF"))
