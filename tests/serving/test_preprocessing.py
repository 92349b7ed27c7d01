"""Every kind of file has a defined outcome: pixels, or an error with a code."""

from __future__ import annotations

import io
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from iq_serving import preprocessing
from iq_serving.contract import LIMITS, Limits
from iq_serving.memory import MemoryBudget
from iq_serving.preprocessing import DCT_MARGIN, ImageError, load_pixels

SIZE = (64, 96)  # not square, so that height and width cannot be taken for one another


def picture(width: int = 320, height: int = 200) -> Image.Image:
    """A smooth picture without symmetry: red grows to the right, green downwards."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, np.full_like(x, 60)], -1).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def refused(data: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(ImageError) as caught:
        load_pixels(data, image_size=SIZE, limits=limits)
    assert caught.value.text
    return caught.value.code


def expected_pixels(image: Image.Image) -> npt.NDArray[np.int16]:
    resized = image.resize((SIZE[1], SIZE[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.int16)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("WEBP", {"lossless": True}),
        ("PPM", {}),
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
    ],
)
def test_formats_give_the_same_pixels(kind: str, options: dict[str, object]) -> None:
    pixels = load_pixels(encoded(picture(), kind, **options), image_size=SIZE)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (*SIZE, 3)
    assert np.abs(pixels - expected_pixels(picture())).max() <= (6 if kind == "JPEG" else 0)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])  # Pillow turns a TIFF by itself
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(), kind, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.abs(load_pixels(data, image_size=SIZE) - expected_pixels(upright)).max() <= 1


def test_photos_of_every_orientation_look_alike(data_folder: Path) -> None:
    for kind in ("Landscape", "Portrait"):
        photos = sorted((data_folder / "exif_orientation").glob(f"{kind}_*.jpg"))
        assert len(photos) == 9
        pixels = [load_pixels(p.read_bytes(), image_size=SIZE).astype(np.int16) for p in photos]
        for each in pixels[1:]:
            assert np.abs(each - pixels[0]).mean() < 2.5


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # which is the point
def test_broken_exif_is_no_reason_to_refuse() -> None:
    data = encoded(picture(), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert load_pixels(data, image_size=SIZE).shape == (*SIZE, 3)


def test_alpha_lies_over_white() -> None:
    clear = Image.new("RGBA", (50, 50), (200, 0, 0, 0))
    assert (load_pixels(encoded(clear), image_size=SIZE) == 255).all()
    half = load_pixels(encoded(Image.new("RGBA", (50, 50), (0, 0, 0, 128))), image_size=SIZE)
    assert np.abs(half.astype(int) - 127).max() <= 1


def test_transparent_palette_lies_over_white() -> None:
    image = Image.new("P", (50, 50), 0)
    image.putpalette([200, 0, 0] * 256)
    assert (load_pixels(encoded(image, transparency=0), image_size=SIZE) == 255).all()


def test_grey_becomes_three_equal_channels() -> None:
    pixels = load_pixels(encoded(picture().convert("L")), image_size=SIZE)
    assert (pixels == pixels[..., :1]).all()


def test_sixteen_bit_keeps_its_brightness() -> None:
    samples = np.full((50, 50), 0x8000, np.uint16)
    pixels = load_pixels(encoded(Image.fromarray(samples)), image_size=SIZE)
    assert np.abs(pixels.astype(int) - 128).max() <= 1


def test_cmyk_is_converted() -> None:
    data = encoded(picture().convert("CMYK"), "JPEG", quality=95)
    pixels = load_pixels(data, image_size=SIZE)
    assert np.abs(pixels - expected_pixels(picture())).mean() < 5


def test_colour_profile_is_applied() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = load_pixels(encoded(picture()), image_size=SIZE)
    tagged = load_pixels(encoded(picture(), icc_profile=srgb), image_size=SIZE)
    assert np.array_equal(tagged, plain)
    for damaged in (lab, b"not a profile"):
        pixels = load_pixels(encoded(picture(), icc_profile=damaged), image_size=SIZE)
        assert np.array_equal(pixels, plain), "an unusable profile is taken as sRGB"


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (load_pixels(data, image_size=SIZE) == (255, 0, 0)).all()


def test_large_jpeg_is_decoded_reduced_but_never_below_the_margin() -> None:
    opened = Image.open(io.BytesIO(encoded(picture(1000, 1000), "JPEG")))
    opened.draft(None, (DCT_MARGIN * SIZE[1], DCT_MARGIN * SIZE[0]))
    assert opened.width < 1000
    assert opened.width >= DCT_MARGIN * SIZE[1]
    assert opened.height >= DCT_MARGIN * SIZE[0]
    pixels = load_pixels(encoded(picture(1000, 1000), "JPEG", quality=95), image_size=SIZE)
    assert np.abs(pixels - expected_pixels(picture(1000, 1000))).mean() < 1.5


def test_what_cannot_be_scored_has_a_code() -> None:
    jpeg = encoded(picture(), "JPEG")
    assert refused(b"") == "EMPTY"
    assert refused(b"not an image") == "UNREADABLE"
    assert refused(b"<svg xmlns='http://www.w3.org/2000/svg'/>") == "UNREADABLE"
    assert refused(jpeg[:20]) == "UNREADABLE"
    assert refused(jpeg[: len(jpeg) // 2]) == "UNREADABLE"
    assert refused(encoded(picture())[:-200]) == "UNREADABLE"
    assert refused(encoded(picture(), "EPS")) == "UNSUPPORTED"
    assert refused(encoded(Image.new("F", (9, 9)), "TIFF")) == "UNSUPPORTED"
    assert refused(jpeg, Limits(max_bytes=len(jpeg) - 1)) == "TOO_LARGE"
    assert refused(jpeg, Limits(max_pixels=320 * 200 - 1)) == "TOO_LARGE"


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    assert refused(encoded(Image.new("1", (15_000, 15_000)))) == "TOO_LARGE"


@given(st.binary(max_size=300))
def test_any_bytes_give_pixels_or_a_code(data: bytes) -> None:
    try:
        assert load_pixels(data, image_size=SIZE).shape == (*SIZE, 3)
    except ImageError as error:
        assert error.code in {"EMPTY", "UNREADABLE", "TOO_LARGE", "UNSUPPORTED"}


@given(data=st.data())
def test_any_damage_gives_pixels_or_a_code(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"]))
    file = bytearray(encoded(picture(48, 32), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        load_pixels(bytes(file), image_size=SIZE, limits=Limits(max_pixels=10**6))
    except ImageError as error:
        assert error.code in {"UNREADABLE", "TOO_LARGE", "UNSUPPORTED"}


def test_unknown_interpolation_is_an_error() -> None:
    with pytest.raises(ValueError, match="bilinear, nearest"):
        load_pixels(encoded(picture()), image_size=SIZE, interpolation="cubic")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("kept", [1.0, 0.6])
def test_memory_is_given_back_when_the_picture_is_gone(
    kind: str, kept: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    pictures: list[weakref.ref[Image.Image]] = []
    left: list[bool] = []
    to_pixels = preprocessing.to_pixels

    def watched(image: Image.Image, **options: Any) -> npt.NDArray[np.uint8]:
        pictures.append(weakref.ref(image))
        return to_pixels(image, **options)

    class Watched(MemoryBudget):
        @contextmanager
        def hold(self, size: int) -> Iterator[None]:
            yield
            left.extend(picture() is not None for picture in pictures)

    monkeypatch.setattr(preprocessing, "to_pixels", watched)
    damaged = pytest.raises(ImageError, match="UNREADABLE") if kept < 1 else nullcontext()
    with damaged:
        load_pixels(data[: round(kept * len(data))], image_size=(20, 30), budget=Watched())
    assert left == [False]
