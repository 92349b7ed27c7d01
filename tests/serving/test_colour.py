"""Colours are what a file states, by whatever means it states them."""

from __future__ import annotations

import io
import struct

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms
from tests.serving.files import (
    avif,
    box,
    chunk,
    dcf_exif,
    encoded,
    muted,
    png,
    profile,
    with_chunks,
)

from iq_serving.preprocessing import load_pixels

SIZE = (110, 165)  # half of the photo
# XYZ relative to D50, of red, green and blue (Display P3; Adobe RGB 1998, annex).
DISPLAY_P3 = [
    [0.51512, 0.24120, -0.00105],
    [0.29198, 0.69225, 0.04189],
    [0.15710, 0.06657, 0.78407],
]
ADOBE_RGB = [[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]]
PLAIN = encoded(muted())


def pixels(data: bytes) -> npt.NDArray[np.int16]:
    return load_pixels(data, image_size=SIZE).astype(np.int16)


def by_profile(made: bytes, image: Image.Image | None = None) -> npt.NDArray[np.int16]:
    """The whole picture converted by a profile, before it is resized."""
    srgb = ImageCms.createProfile("sRGB")
    source = ImageCms.ImageCmsProfile(io.BytesIO(made))
    seen = ImageCms.profileToProfile(image or muted(), source, srgb, outputMode="RGB")
    assert seen is not None
    return np.asarray(seen.resize(SIZE[::-1], Image.Resampling.BILINEAR), np.int16)


def assert_like(found: npt.NDArray[np.int16], expected: npt.NDArray[np.int16]) -> None:
    apart = np.abs(expected - pixels(PLAIN)).mean()
    assert apart > 1.2, "the twin is not a plain picture"
    difference = np.abs(found - expected)
    assert difference.max() <= 6
    assert difference.mean() < 0.3 * apart


@pytest.mark.parametrize("name", ["sRGB IEC61966-2.1", "linear", "Adobe RGB (1998)"])
def test_a_profile_is_judged_by_what_it_does(name: str) -> None:
    linear = profile(name, curve=1.0)
    assert_like(pixels(encoded(muted(), icc_profile=linear)), by_profile(linear))
    same = profile(name)
    np.testing.assert_array_equal(pixels(encoded(muted(), icc_profile=same)), pixels(PLAIN))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_profiles_of_every_container(kind: str) -> None:
    wide = profile("wide", columns=DISPLAY_P3)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    data = encoded(muted(), kind, icc_profile=wide, **options)
    assert_like(pixels(data), by_profile(wide))


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_with_a_profile(mode: str) -> None:
    grey = muted().convert("L")
    linear = profile("grey", curve=1.0, grey=True)
    expected = by_profile(linear, grey)
    picture = grey
    if mode == "LA":
        picture.putalpha(255)
    elif mode == "I;16":
        picture = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    assert_like(pixels(encoded(picture, icc_profile=linear)), expected)


def test_a_grey_picture_with_the_profile_of_coloured_ones() -> None:
    grey, linear = muted().convert("L"), profile("linear", curve=1.0)
    assert_like(pixels(encoded(grey, icc_profile=linear)), by_profile(linear, grey.convert("RGB")))


def test_alpha_lies_over_white_whatever_the_profile() -> None:
    clear = muted()
    clear.putalpha(0)
    data = encoded(clear, icc_profile=profile("linear", curve=1.0))
    assert (pixels(data) == 255).all()


@pytest.mark.parametrize("damaged", [b"no profile", profile("cut off", curve=1.0)[:150]])
def test_a_damaged_profile_is_srgbs(damaged: bytes) -> None:
    np.testing.assert_array_equal(pixels(encoded(muted(), icc_profile=damaged)), pixels(PLAIN))


def cicp(primaries: int, transfer: int) -> bytes:
    return chunk(b"cICP", bytes([primaries, transfer, 0, 1]))


def gamma(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def chromaticities(*values: float) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values)))


D65 = (0.3127, 0.3290)
LINEAR = gamma(1.0)
P3_PRIMARIES = chromaticities(*D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
ADOBE_PRIMARIES = chromaticities(*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)


@pytest.mark.parametrize(
    ("chunks", "twin"),
    [
        ([cicp(12, 13)], profile("p3", columns=DISPLAY_P3)),
        ([cicp(12, 13), LINEAR], profile("p3", columns=DISPLAY_P3)),
        ([cicp(1, 8)], profile("linear", curve=1.0)),
        ([cicp(12, 8)], profile("linear p3", curve=1.0, columns=DISPLAY_P3)),
        ([LINEAR], profile("linear", curve=1.0)),
        ([gamma(1 / 1.8)], profile("1.8", curve=1.8)),
        ([P3_PRIMARIES], profile("p3", columns=DISPLAY_P3)),
        ([gamma(256 / 563), ADOBE_PRIMARIES], profile("a", curve=563 / 256, columns=ADOBE_RGB)),
    ],
)
def test_colours_that_a_png_states(chunks: list[bytes], twin: bytes) -> None:
    assert_like(pixels(with_chunks(PLAIN, *chunks)), by_profile(twin))


@pytest.mark.parametrize(
    "chunks",
    [
        [cicp(1, 13)],
        [cicp(1, 1)],
        [cicp(2, 2)],
        [gamma(0.45455)],
        [gamma(0.45455), chromaticities(*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)],
        [chunk(b"sRGB", b"\0"), LINEAR],
        [gamma(0.0)],
        [chromaticities(*(0.0,) * 8)],
        [chunk(b"cICP", b"\1")],
    ],
)
def test_what_states_srgb_or_nothing_changes_nothing(chunks: list[bytes]) -> None:
    np.testing.assert_array_equal(pixels(with_chunks(PLAIN, *chunks)), pixels(PLAIN))


def test_code_points_come_before_a_pngs_profile() -> None:
    both = with_chunks(encoded(muted(), icc_profile=profile("linear", curve=1.0)), cicp(1, 13))
    np.testing.assert_array_equal(pixels(both), pixels(PLAIN))


def grey_levels(data: bytes) -> list[int]:
    return [int(level) for level in load_pixels(data, image_size=(1, 256))[0, :, 0]]


@pytest.mark.parametrize(("transfer", "white"), [(16, 0.58), (18, 0.75)])
def test_pq_and_hlg_are_toned_down(transfer: int, white: float) -> None:
    ramp = np.arange(256, dtype=np.uint8)[None]
    levels = grey_levels(png(ramp, 8, 0, cicp(9, transfer)))
    assert levels == sorted(levels)
    assert levels[0] == 0
    # White of 203 cd/m² is bright but leaves room for the highlights above it.
    assert 215 <= levels[round(255 * white)] <= 235
    assert levels[-1] > levels[round(255 * white)] + 5


def test_colours_that_an_avif_states() -> None:
    plain = Image.fromarray(load_pixels(avif(1, 13), image_size=(220, 330)))
    assert_like(pixels(avif(12, 13)), by_profile(profile("p3", columns=DISPLAY_P3), plain))
    assert_like(pixels(avif(1, 8)), by_profile(profile("linear", curve=1.0), plain))
    np.testing.assert_array_equal(pixels(avif(2, 2)), pixels(avif(1, 13)))


def test_an_avif_whose_boxes_are_damaged_is_decoded_or_refused() -> None:
    assert b"free" in box(b"free", b"")
    assert pixels(avif(1, 13) + box(b"free", b"")).shape == (*SIZE, 3)


@pytest.mark.parametrize(("index", "is_adobe"), [(b"R03", True), (b"R98", False), (b"", False)])
def test_dcfs_option_file_is_adobe_rgb(index: bytes, is_adobe: bool) -> None:
    options = {"quality": 100, "subsampling": 0}
    found = pixels(encoded(muted(), "JPEG", exif=dcf_exif(index), **options))
    plain = pixels(encoded(muted(), "JPEG", **options))
    if is_adobe:
        assert_like(found, by_profile(profile("a", curve=563 / 256, columns=ADOBE_RGB)))
    else:
        np.testing.assert_array_equal(found, plain)
