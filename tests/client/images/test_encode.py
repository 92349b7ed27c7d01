"""Pictures as the bytes of a file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from iq_client.images.encode import encode_array, encode_image, shrink


def jpeg(size: tuple[int, int], **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(buffer, "JPEG", **options)
    return buffer.getvalue()


@given(
    width=st.integers(1, 200),
    height=st.integers(1, 200),
    long_side=st.integers(1, 250),
    orientation=st.sampled_from([1, 6, 8]),
)
def test_shrinking(width: int, height: int, long_side: int, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg((width, height), exif=exif, icc_profile=b"a profile")
    small = shrink(data, long_side)
    if max(width, height) <= long_side:
        assert small is data
        return
    picture = Image.open(io.BytesIO(small))
    assert max(picture.size) == long_side
    assert picture.size[0] / long_side == pytest.approx(width / max(width, height), abs=1)
    assert picture.getexif().get(0x0112, 1) == orientation
    assert picture.info["icc_profile"] == b"a profile"


@pytest.mark.parametrize("data", [b"", b"no image", jpeg((100, 100))[:200]])
def test_what_cannot_be_shrunk_is_sent_as_it_is(data: bytes) -> None:
    assert shrink(data, 10) is data


def test_lossless_files_are_sent_as_they_are() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (100, 100)).save(buffer, "PNG")
    assert shrink(buffer.getvalue(), 10) == buffer.getvalue()


def gradient(mode: str) -> Image.Image:
    ramp = np.add.outer(np.arange(40), np.arange(60) * 2).astype(np.uint8)
    picture = Image.fromarray(np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=-1))
    if mode == "I;16":
        return Image.fromarray(ramp.astype(np.uint16) * 256)
    if mode in ("RGBA", "LA"):
        picture.putalpha(Image.fromarray(ramp))
    return picture.convert(mode)


def upright(picture: Image.Image) -> np.ndarray[Any, Any]:
    """The pixels as a viewer shows them."""
    turned = ImageOps.exif_transpose(picture)
    return np.asarray(turned if turned.mode == "I;16" else turned.convert("RGBA"))


@pytest.mark.parametrize("encoding", ["webp", "png", "tiff"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_pil_images_lose_nothing(mode: str, encoding: Any, orientation: int) -> None:
    picture = gradient(mode)
    if orientation != 1:
        picture.getexif()[0x0112] = orientation
    sent = Image.open(io.BytesIO(encode_image(picture, encoding)))
    np.testing.assert_array_equal(upright(sent), upright(picture))


@pytest.mark.parametrize("encoding", ["webp", "png", "tiff"])
def test_arrays_lose_nothing(encoding: Any) -> None:
    array = np.random.default_rng(0).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    for given_array in (array, array[::-1, ::-1], np.asfortranarray(array)):
        sent = Image.open(io.BytesIO(encode_array(given_array, encoding)))
        np.testing.assert_array_equal(np.asarray(sent), given_array)


def test_a_picture_too_large_for_webp() -> None:
    assert Image.open(io.BytesIO(encode_image(Image.new("RGB", (17000, 1))))).size == (17000, 1)


def test_the_profile_travels_and_the_other_metadata_does_not() -> None:
    from PIL import ImageCms

    picture = gradient("RGB")
    picture.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture.getexif()[0x010E] = "a secret"
    picture.getexif()[0x0112] = 3
    data = encode_image(picture)
    sent = Image.open(io.BytesIO(data))
    assert sent.info["icc_profile"] == picture.info["icc_profile"]
    assert sent.getexif()[0x0112] == 3
    assert b"secret" not in data
