"""The GPU's preprocessing on NumPy arrays and nvImageCodec's CPU decoder, against the host's."""

from __future__ import annotations

import importlib.util
import io
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from iq_serving import gpu_pixels, preprocessing
from iq_serving.contract import Limits
from iq_serving.decoding import HostDecoder

SIZE = (48, 64)  # not square, so that height and width cannot be taken for one another

nvimgcodec = pytest.importorskip("nvidia.nvimgcodec", reason="needs nvidia-nvimgcodec-cu13")


LIMITS = Limits(max_bytes=2_000_000, max_pixels=1_000_000)


def _picture(width: int = 320, height: int = 200, seed: int = 0) -> Image.Image:
    """Soft random colours: unlike noise they survive compression."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def _encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _swapped_primaries() -> bytes:
    """A profile whose red is sRGB's blue."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for old, new in ((b"rXYZ", b"----"), (b"bXYZ", b"rXYZ"), (b"----", b"bXYZ")):
        profile = profile.replace(old, new, 1)
    return profile.replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be"))


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FOREIGN = _swapped_primaries()


@pytest.fixture(scope="module")
def device() -> Any:
    return gpu_pixels.cpu_device()


Make = Callable[..., Any]


@pytest.fixture
def make(device: Any) -> Iterator[Make]:
    with ExitStack() as stack:

        def decoder(**changes: Any) -> Any:
            used = changes.pop("device", device)
            options: dict[str, Any] = {
                "image_size": SIZE, "interpolation": "bilinear", "limits": LIMITS, "threads": 2,
            }  # fmt: skip
            host = stack.enter_context(closing(HostDecoder(**(options | changes))))
            return gpu_pixels.GpuDecoder(used, host)

        yield decoder


def _on_host(data: bytes, interpolation: str = "bilinear") -> tuple[npt.NDArray[np.uint8], str]:
    try:
        pixels = preprocessing.load_pixels(
            data, image_size=SIZE, interpolation=interpolation, limits=LIMITS
        )
    except preprocessing.ImageError as error:
        return np.zeros((*SIZE, 3), np.uint8), str(error)
    return pixels, ""


sides = st.integers(1, 90)


@given(sides, sides, sides, sides, st.sampled_from([1, 2, 4, 8]), st.integers(0, 99))
def test_bilinear_is_pillows_within_a_level(
    height: int, width: int, new_height: int, new_width: int, reduction: int, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = gpu_pixels.resize(pixels, (new_height, new_width), "bilinear", np, reduction=reduction)
    reduced = Image.fromarray(pixels).reduce(reduction)
    expected = reduced.resize((new_width, new_height), Image.Resampling.BILINEAR)
    assert found.dtype == np.uint8
    # Pillow rounds after each of its passes, which are two or three.
    assert np.abs(found.astype(int) - np.asarray(expected)).max() <= (1 if reduction == 1 else 2)


@given(sides, sides, sides, sides)
def test_nearest_is_pillows(height: int, width: int, new_height: int, new_width: int) -> None:
    pixels = np.arange(height * width * 3, dtype=np.uint32).astype(np.uint8)
    pixels = pixels.reshape(height, width, 3)
    found = gpu_pixels.resize(pixels, (new_height, new_width), "nearest", np)
    expected = Image.fromarray(pixels).resize((new_width, new_height), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_a_picture_in_stripes_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.asarray(_picture())
    whole = gpu_pixels.resize(pixels, SIZE, "bilinear", np)
    monkeypatch.setattr(gpu_pixels, "_STRIPE", 7 * len(pixels))
    np.testing.assert_array_equal(gpu_pixels.resize(pixels, SIZE, "bilinear", np), whole)


def test_example_photos_are_half_a_level_from_the_host_on_average(
    example_photos: list[Path], make: Make
) -> None:
    files = [path.read_bytes() for path in example_photos]
    size = (224, 224)
    decoder = make(image_size=size, limits=Limits())
    pixels, errors = decoder.decode(files)
    assert errors == [""] * len(files)
    assert not decoder.on_host
    for file, found in zip(files, pixels.astype(int), strict=True):
        expected = preprocessing.load_pixels(file, image_size=size)
        assert np.abs(found - expected).mean() <= 0.5


@pytest.mark.parametrize(
    ("side", "orientation", "reduction"),
    [(127, 1, 1), (128, 1, 2), (400, 1, 4), (400, 6, 8), (3000, 1, 8)],
)
def test_the_mean_is_taken_where_the_host_decodes_reduced(
    side: int, orientation: int, reduction: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _encoded(Image.new("RGB", (side * 2, side * 3)), exif=exif)
    header = gpu_pixels.read_header(
        data, image_size=SIZE, interpolation="bilinear", limits=Limits()
    )
    assert header.reduction == reduction
    nearest = gpu_pixels.read_header(
        data, image_size=SIZE, interpolation="nearest", limits=Limits()
    )
    assert nearest.reduction == 1


@pytest.mark.parametrize("orientation", range(9))
def test_exif_orientation_is_undone(orientation: int, make: Make) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _encoded(_picture(), exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    expected = upright.resize(SIZE[::-1], Image.Resampling.BILINEAR)
    pixels, _ = make().decode([data])
    assert np.abs(pixels[0].astype(int) - np.asarray(expected)).max() <= 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"subsampling": 0},
        {"subsampling": 1},
        {"icc_profile": SRGB},
        {"icc_profile": b"not a profile"},
        {"icc_profile": FOREIGN},
        {"restart_marker_rows": 1},
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpegs_are_those_of_the_host(mode: str, options: dict[str, Any], make: Make) -> None:
    # Small enough that the host decodes it whole as well.
    data = _encoded(_picture(120, 90).convert(mode), quality=95, **options)
    decoder = make()
    pixels, errors = decoder.decode([data])
    expected, _ = _on_host(data)
    assert errors == [""]
    assert np.abs(pixels[0].astype(int) - expected).max() <= 1
    grey_in_colour = mode == "L" and options.get("icc_profile") == FOREIGN
    assert decoder.on_host.total() == int(grey_in_colour)


def test_a_foreign_profile_changes_colours(make: Make) -> None:
    picture = _picture(120, 90)
    plain, tagged = (
        make().decode([_encoded(picture), _encoded(picture, icc_profile=FOREIGN)])[0].astype(int)
    )
    assert np.abs(plain - tagged).mean() > 20


def test_what_the_gpu_does_not_decode_is_left_to_the_host_and_counted(make: Make) -> None:
    picture = _picture(120, 90)
    adobe = _encoded(picture.convert("CMYK"))
    files = {
        "PNG": _encoded(picture.convert("RGBA"), "PNG"),
        "WEBP": _encoded(picture, "WEBP"),
        "GIF": _encoded(picture, "GIF", save_all=True, append_images=[picture.rotate(90)]),
        "PNG 16 bit": _encoded(Image.fromarray(np.full((40, 40), 0x8000, np.uint16)), "PNG"),
        "JPEG in CMYK": adobe,
        "JPEG": _encoded(picture),
    }
    decoder = make()
    pixels, errors = decoder.decode(list(files.values()))
    assert errors == [""] * len(files)
    for found, data in zip(pixels, files.values(), strict=True):
        assert np.abs(found.astype(int) - _on_host(data)[0]).max() <= 1
    assert decoder.on_host == Counter({"PNG": 2, "WEBP": 1, "GIF": 1, "JPEG in CMYK": 1})


def test_a_jpeg_whose_planes_are_rgb_is_left_to_the_host(make: Make) -> None:
    data = _encoded(_picture(120, 90), keep_rgb=True)
    decoder = make()
    pixels, _ = decoder.decode([data])
    assert decoder.on_host == Counter({"JPEG coded as RGB": 1})
    np.testing.assert_array_equal(pixels[0], _on_host(data)[0])


def test_one_bad_image_leaves_its_neighbours(make: Make) -> None:
    good = _encoded(_picture(120, 90))
    eps = _encoded(Image.new("RGB", (9, 9)), "EPS")
    bomb = _encoded(Image.new("1", (2000, 2000)), "PNG")
    large = _encoded(Image.new("RGB", (1200, 900)))
    files = [
        good, b"", b"not an image", good[: len(good) // 2], good[:40], eps, bomb, large,
        b"\0" * (LIMITS.max_bytes + 1), good[:200] + b"\0" * 200 + good[400:], good,
    ]  # fmt: skip
    pixels, errors = make().decode(files)
    codes = [error.partition(":")[0] for error in errors]
    assert codes[:9] == [
        "", "EMPTY", "UNREADABLE", "UNREADABLE", "UNREADABLE", "UNSUPPORTED",
        "TOO_LARGE", "TOO_LARGE", "TOO_LARGE",
    ]  # fmt: skip
    assert errors == [_on_host(data)[1] for data in files]
    for row in (0, -1):
        assert np.abs(pixels[row].astype(int) - _on_host(good)[0]).max() <= 1
    assert not pixels[1:9].any()


def test_what_the_decoder_refuses_is_left_to_the_host(device: Any, make: Make) -> None:
    files = [_encoded(_picture(120, 90, seed)) for seed in range(3)]

    def refuse_the_second(wanted: Sequence[bytes]) -> list[Any]:
        decoded = list(device.decode(wanted))
        decoded[1] = None
        return decoded

    decoder = make(device=replace(device, decode=refuse_the_second))
    pixels, errors = decoder.decode(files)
    assert errors == ["", "", ""]
    assert decoder.on_host == Counter({"JPEG that nvImageCodec refuses": 1})
    np.testing.assert_array_equal(pixels[1], _on_host(files[1])[0])
    assert pixels[0].any()
    assert pixels[2].any()


def test_a_picture_beyond_the_gpus_memory_is_left_to_the_host(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise MemoryError("out of memory")

    monkeypatch.setattr(gpu_pixels, "resize", full)
    data = _encoded(_picture(120, 90))
    decoder = make()
    pixels, errors = decoder.decode([data])
    assert errors == [""]
    assert decoder.on_host == Counter({"JPEG beyond the GPU's memory": 1})
    np.testing.assert_array_equal(pixels[0], _on_host(data)[0])


def test_pictures_in_memory_are_bounded(
    device: Any, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def watch(files: Sequence[bytes]) -> Sequence[Any]:
        sizes.append(len(files))
        decoded: Sequence[Any] = device.decode(files)
        return decoded

    monkeypatch.setattr(gpu_pixels, "GROUP_PIXELS", 25_000)
    files = [_encoded(_picture(width, 100)) for width in (100, 100, 100, 400, 100)]
    decoder = make(device=replace(device, decode=watch))
    pixels, _ = decoder.decode(files)
    assert sizes == [2, 1, 1, 1]
    for found, data in zip(pixels, files, strict=True):
        assert np.abs(found.astype(int) - _on_host(data)[0]).mean() <= 2


def test_nearest_is_that_of_the_host(make: Make) -> None:
    data = _encoded(_picture())
    pixels, _ = make(interpolation="nearest").decode([data])
    np.testing.assert_array_equal(pixels[0], _on_host(data, "nearest")[0])


def test_a_batch_of_nothing_is_nothing(make: Make) -> None:
    pixels, errors = make().decode([])
    assert pixels.shape == (0, *SIZE, 3)
    assert errors == []


WITH_THUMBNAIL = _encoded(
    _picture(120, 90), progressive=True, exif=b"Exif\0\0" + _encoded(_picture(16, 12))
)


def test_a_whole_jpeg_is_whole_whatever_follows() -> None:
    assert gpu_pixels.is_whole(WITH_THUMBNAIL)
    assert gpu_pixels.is_whole(WITH_THUMBNAIL + b"SEFT trailer")
    filled = WITH_THUMBNAIL[:2] + b"\xff\xff" + WITH_THUMBNAIL[2:]
    assert gpu_pixels.is_whole(filled)


@given(st.integers(0, len(WITH_THUMBNAIL) - 1))
def test_a_jpeg_that_is_cut_off_is_not_whole(length: int) -> None:
    # The thumbnail's own end is no end.
    assert not gpu_pixels.is_whole(WITH_THUMBNAIL[:length])


@given(st.binary(max_size=300))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    assert gpu_pixels.is_whole(b"\xff\xd8" + data) in (True, False)


class _FakeCupy(ModuleType):
    """NumPy under the names of CuPy that a device needs beside the arrays'."""

    cuda = SimpleNamespace(Device=lambda index: nullcontext(index))
    asnumpy = staticmethod(np.asarray)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def _fake_cuda(monkeypatch: pytest.MonkeyPatch, decoded: Any) -> list[Any]:
    """nvImageCodec without a GPU, whose decoder answers with this; returns what it was given."""
    asked: list[Any] = []

    class Decoder:
        def __init__(self, **options: Any) -> None:
            asked.append(options)

        def decode(self, files: list[bytes], params: Any) -> list[Any]:
            return [decoded] * len(files)

    fake = SimpleNamespace(
        Decoder=Decoder,
        Backend=lambda kind: kind,
        BackendKind=nvimgcodec.BackendKind,
        DecodeParams=nvimgcodec.DecodeParams,
        ColorSpec=nvimgcodec.ColorSpec,
    )
    monkeypatch.setitem(sys.modules, "cupy", _FakeCupy("cupy"))
    monkeypatch.setitem(sys.modules, "nvidia.nvimgcodec", fake)
    return asked


def test_on_a_gpu_only_its_own_decoders_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _fake_cuda(monkeypatch, np.zeros((64, 64, 3), np.uint8))
    gpu_pixels.cuda_device(1)
    assert asked[0]["device_id"] == 1
    assert nvimgcodec.BackendKind.CPU_ONLY not in asked[0]["backends"]
    assert nvimgcodec.BackendKind.GPU_ONLY in asked[0]["backends"]


def test_a_decoder_without_nvjpeg_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_cuda(monkeypatch, None)
    with pytest.raises(ImportError, match="nvidia-nvjpeg"):
        gpu_pixels.cuda_device(0)


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
def test_without_a_gpu_it_says_what_is_needed() -> None:
    with pytest.raises(gpu_pixels.DeviceError, match=r"GPU 1 cannot be used .*cupy") as caught:
        gpu_pixels.open_gpu(1)
    for package in (*gpu_pixels.GPU_PACKAGES, gpu_pixels.CUBLAS_PACKAGE):
        assert package in str(caught.value)
