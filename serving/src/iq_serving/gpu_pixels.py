"""From encoded files to a tower's pixels in a GPU's memory.

JPEGs are decoded by nvImageCodec and resized where they lie; the host sees their headers only.
Everything else, and every JPEG that nvImageCodec refuses, takes the way of `preprocessing` and
is copied to the GPU at the tower's size. Written against an array module: CuPy on a GPU; NumPy,
with nvImageCodec's own CPU decoder, runs the same code where there is none.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import io
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from .colour import SRGB, Colours, stated_by
from .contract import BILINEAR, NEAREST, Limits
from .decoding import HostDecoder, Task
from .preprocessing import (
    DCT_MARGIN,
    SWAPS_SIDES,
    ImageError,
    open_image,
    orientation,
)

# What decoding on a GPU needs beside Triton's image. Installed with `--no-deps`, so that NumPy
# stays the server's: hence fastrlock, which CuPy needs, and the CuPy that still takes NumPy 1. CuPy
# makes its operators with the last two, compiler and headers, which have to be of one version.
GPU_PACKAGES: Final = (
    "nvidia-nvimgcodec-cu13>=0.6",
    "nvidia-nvjpeg>=13,<14",
    "cupy-cuda13x==13.6.0",
    "fastrlock>=0.8",
    "nvidia-cuda-nvrtc>=13,<14",
    "nvidia-cuda-runtime>=13,<14",
)
# Where there is no CUDA but the driver's; the image brings its own.
CUBLAS_PACKAGE: Final = "nvidia-cublas>=13,<14"

# An array of CuPy or NumPy, and the module itself.
Array = Any
ArrayModule = Any

# Decoded pictures that lie in the GPU's memory at a time: 3 bytes a pixel, 768 MB.
GROUP_PIXELS: Final = 256_000_000
# Columns times rows that are turned into floats at a time: 4 bytes each, 64 MB.
_STRIPE: Final = 16_000_000

_NVIMGCODEC: Final = "nvidia.nvimgcodec"
_JPEG: Final = frozenset({"JPEG", "MPO"})  # MPO is a JPEG with more pictures behind it
_RGB_COMPONENTS: Final = tuple(b"RGB")
_START_OF_SCAN: Final = 0xDA
_END: Final = b"\xff\xd9"
# Marker codes of a JPEG that no length follows: TEM, RST0 to RST7, SOI.
_BARE: Final = frozenset({0x01, *range(0xD0, 0xD9)})

# How an EXIF orientation is undone on rows and columns: swapped first, then each reversed.
_TURNS: Final = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


class DeviceError(RuntimeError):
    """A GPU that cannot be used; the message says why, and what it needs."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device that decodes and resizes pictures.

    Attributes:
        arrays: The array module.
        decode: Decodes whole JPEGs to uint8 [H,W,3]; None for each that it refuses.
        scope: Makes it the calling thread's device for a while.
        synchronize: Waits until everything that was asked of the device is done.
        to_host: Copies an array into a NumPy array.
    """

    arrays: ArrayModule
    decode: Callable[[Sequence[bytes]], Sequence[Array | None]]
    scope: Callable[[], AbstractContextManager[Any]]
    synchronize: Callable[[], None]
    to_host: Callable[[Array], npt.NDArray[np.uint8]]


def open_gpu(index: int) -> Device:
    """A GPU, or one error that says what it needs.

    Args:
        index: Its number.

    Returns:
        The device, as of `cuda_device`.

    Raises:
        DeviceError: A package or the GPU is missing.
    """
    try:
        return cuda_device(index)
    except Exception as error:  # CUDA's, of whichever library meets the missing GPU first
        raise DeviceError(
            f"GPU {index} cannot be used ({type(error).__name__}: {error}). It needs a driver for "
            f"CUDA 13 and: pip install --no-deps {shlex.join(GPU_PACKAGES)}; outside Triton's "
            f"image also {shlex.quote(CUBLAS_PACKAGE)}"
        ) from error


def cuda_device(index: int) -> Device:
    """A GPU.

    Args:
        index: Its number.

    Returns:
        The device.

    Raises:
        ImportError: nvImageCodec, its nvJPEG or CuPy is not installed.
        Exception: CUDA's, where there is no such GPU.
    """
    _load_compiler()
    cupy: Any = importlib.import_module("cupy")
    nvimgcodec: Any = importlib.import_module(_NVIMGCODEC)

    kinds = nvimgcodec.BackendKind
    # Not its CPU decoders: what the GPU refuses is to be seen and counted.
    backends = [kinds.HW_GPU_ONLY, kinds.GPU_ONLY, kinds.HYBRID_CPU_GPU]

    def scope() -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = cupy.cuda.Device(index)
        return context

    def synchronize() -> None:
        cupy.cuda.get_current_stream().synchronize()

    decode = _decoder(nvimgcodec, index, backends, cupy)
    probe = io.BytesIO()
    Image.new("RGB", (64, 64)).save(probe, "JPEG")
    with scope():
        decoded = decode([probe.getvalue()])
    if decoded[0] is None:  # it starts without nvJPEG, and decodes nothing
        raise ImportError("nvImageCodec decodes no JPEG on this GPU; is nvidia-nvjpeg installed?")
    return Device(cupy, decode, scope, synchronize, cupy.asnumpy)


def _load_compiler() -> None:
    """Loads the wheel's CUDA compiler, where there is one, before CuPy looks for the system's.

    CuPy compiles its operators with the headers of the wheel `nvidia-cuda-runtime`, and refuses
    them where the compiler is of another version of CUDA; images for serving have no headers.
    """
    try:
        wheel = importlib.metadata.distribution("nvidia-cuda-nvrtc")
    except importlib.metadata.PackageNotFoundError:
        return
    for file in wheel.files or ():
        if file.name.startswith("libnvrtc.so"):
            ctypes.CDLL(str(file.locate()), mode=ctypes.RTLD_GLOBAL)


def cpu_device() -> Device:
    """The same code without a GPU, to test it: slower than `preprocessing`.

    Raises:
        ImportError: nvImageCodec is not installed.
    """
    nvimgcodec: Any = importlib.import_module(_NVIMGCODEC)
    index = nvimgcodec.NVIMGCODEC_DEVICE_CPU_ONLY
    decode = _decoder(nvimgcodec, index, [nvimgcodec.BackendKind.CPU_ONLY], np)
    return Device(np, decode, nullcontext, lambda: None, np.asarray)


def _decoder(
    nvimgcodec: Any, index: int, kinds: Sequence[Any], arrays: ArrayModule
) -> Callable[[Sequence[bytes]], Sequence[Array | None]]:
    decoder = nvimgcodec.Decoder(
        device_id=index,
        backends=[nvimgcodec.Backend(kind) for kind in kinds],
        options=":fancy_upsampling=1",  # of the colour planes, as libjpeg does
    )
    # Turned after the resize instead: 224x224 pixels, not millions.
    params = nvimgcodec.DecodeParams(
        apply_exif_orientation=False, color_spec=nvimgcodec.ColorSpec.SRGB
    )

    def decode(files: Sequence[bytes]) -> Sequence[Array | None]:
        try:
            images = decoder.decode(list(files), params=params)
        except (RuntimeError, MemoryError):  # the whole batch, such as for want of memory
            return [None] * len(files)
        return [None if image is None else arrays.asarray(image) for image in images]

    return decode


@dataclass(frozen=True, slots=True)
class Header:
    """The host's knowledge of a file.

    Attributes:
        width: Pixels in a row, as they lie in the file.
        height: Rows.
        orientation: EXIF orientation.
        reduction: Scale, 1, 2, 4 or 8, at which the host would decode: the mean of so many pixels
            each way comes closest to what it sees.
        colours: The way of its colours to sRGB.
        on_host: Why the GPU does not decode it; empty where it does.
    """

    width: int
    height: int
    orientation: int
    reduction: int
    colours: Colours
    on_host: str


def read_header(
    data: bytes, *, image_size: tuple[int, int], interpolation: str, limits: Limits
) -> Header:
    """Decides who decodes a file, and how.

    Args:
        data: The file's bytes.
        image_size: Height and width that are wanted.
        interpolation: `bilinear` or `nearest`.
        limits: Larger files and pictures are refused.

    Returns:
        Its header.

    Raises:
        ImageError: As `preprocessing.open_image`.
    """
    image = open_image(data, limits)
    colours = SRGB
    on_host = _reason(image, data)
    if not on_host:
        colours = stated_by(image, image.mode)
        if colours.early or (image.mode == "L" and colours != SRGB):
            on_host = f"JPEG in {image.mode} whose colours are converted first"
    width, height = image.size
    turned = orientation(image)
    reduction = 1
    if interpolation == BILINEAR and not on_host:
        wanted = image_size if turned in SWAPS_SIDES else image_size[::-1]
        image.draft(None, (DCT_MARGIN * wanted[0], DCT_MARGIN * wanted[1]))
        reduction = next(
            scale
            for scale in (1, 2, 4, 8)
            if image.size == (-(-width // scale), -(-height // scale))
        )
    return Header(width, height, turned, reduction, colours, on_host)


def _reason(image: Image.Image, data: bytes) -> str:
    if image.format not in _JPEG:
        return str(image.format)
    if image.mode not in ("RGB", "L"):
        return f"JPEG in {image.mode}"
    if _is_coded_as_rgb(image):
        return "JPEG coded as RGB"
    if not is_whole(data):
        return "JPEG that is cut off"
    return ""


def _is_coded_as_rgb(image: Image.Image) -> bool:
    """True where a JPEG's three planes are red, green and blue by libjpeg's rules."""
    if image.mode != "RGB" or "jfif" in image.info:
        return False
    if "adobe_transform" in image.info:
        return bool(image.info["adobe_transform"] == 0)
    return tuple(layer[0] for layer in getattr(image, "layer", ())) == _RGB_COMPONENTS


def is_whole(jpeg: bytes) -> bool:
    """True where a JPEG's scan is followed by its end; what comes behind is of no interest.

    Decoders on a GPU fill up what is missing, where the host's refuse the file.
    """
    position = 2
    while position + 4 <= len(jpeg) and jpeg[position] == 0xFF:
        marker = jpeg[position + 1]
        if marker == _START_OF_SCAN:
            # In a scan no byte 0xD9 follows an 0xFF: the encoder puts a zero between.
            return jpeg.find(_END, position) >= 0
        if marker == 0xFF:  # fill
            position += 1
        elif marker in _BARE:
            position += 2
        else:
            position += 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
    return False


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that are being decoded together.

    Attributes:
        pixels: On the device, uint8 [N,H,W,3].
        errors: Of each file, empty where there is none.
        on_host: Rows that the host decodes.
    """

    pixels: Array
    errors: list[str]
    on_host: dict[int, Task]

    def tasks(self, rows: range) -> list[Task]:
        """The host's part of some rows."""
        return [self.on_host[row] for row in rows if row in self.on_host]


class GpuDecoder:
    """Decodes batches of files into one array on a device."""

    def __init__(self, device: Device, host: HostDecoder) -> None:
        """Takes both decoders.

        Args:
            device: Where to decode.
            host: What it knows of the tower holds here too; it decodes what the device does not.
        """
        self._device = device
        self._host = host
        self._readers = ThreadPoolExecutor(host.threads, thread_name_prefix="header")
        self.on_host: Counter[str] = Counter()
        """Number of files that the host decoded, by reason."""

    def decode(self, files: Sequence[bytes]) -> tuple[Array, list[str]]:
        """Decodes a batch.

        Args:
            files: Encoded files.

        Returns:
            Pixels on the device, uint8 [N,H,W,3], zero where there is an error, ready to be used
            on any stream; and the errors, empty where there is none.
        """
        return self.finish(self.start(files), range(len(files)))

    def start(self, files: Sequence[bytes]) -> Batch:
        """Decodes the device's part of a batch, while the host begins with its own.

        Args:
            files: Encoded files.

        Returns:
            The batch; its rows are ready after `finish`.
        """
        with self._device.scope():
            return self._start(files)

    def finish(self, batch: Batch, rows: range) -> tuple[Array, list[str]]:
        """Waits for the host's part of some rows.

        Args:
            batch: Of `start`.
            rows: The rows, one after another.

        Returns:
            As `decode`, of these rows.
        """
        with self._device.scope():
            for row in rows:
                if row not in batch.on_host:
                    continue
                try:
                    batch.pixels[row] = self._device.arrays.asarray(batch.on_host[row].result())
                except ImageError as error:
                    batch.errors[row] = str(error)
            self._device.synchronize()
        part = slice(rows.start, rows.stop)
        return batch.pixels[part], batch.errors[part]

    def _start(self, files: Sequence[bytes]) -> Batch:
        pixels = self._device.arrays.zeros((len(files), *self._host.image_size, 3), np.uint8)
        errors = [""] * len(files)
        headers: dict[int, Header] = {}
        host: dict[int, Task] = {}

        def leave_to_host(row: int, reason: str) -> None:
            self.on_host[reason] += 1
            host[row] = self._host.submit(files[row])

        for row, found in enumerate(self._readers.map(self._read_header, files)):
            if isinstance(found, ImageError):
                errors[row] = str(found)
            elif found.on_host:
                leave_to_host(row, found.on_host)
            else:
                headers[row] = found
        for rows in _groups(headers):
            images = self._device.decode([files[row] for row in rows])
            for row, image in zip(rows, images, strict=True):
                if image is None:
                    leave_to_host(row, "JPEG that nvImageCodec refuses")
                    continue
                try:
                    pixels[row] = self._resized(image, headers[row])
                except MemoryError:
                    leave_to_host(row, "JPEG beyond the GPU's memory")
            # What was asked of the device still reads the pictures, whose memory is now given back.
            self._device.synchronize()
        return Batch(pixels, errors, host)

    def _read_header(self, data: bytes) -> Header | ImageError:
        try:
            return read_header(
                data,
                image_size=self._host.image_size,
                interpolation=self._host.interpolation,
                limits=self._host.limits,
            )
        except ImageError as error:
            return error

    def _resized(self, image: Array, header: Header) -> Array:
        height, width = self._host.image_size
        size = (width, height) if header.orientation in SWAPS_SIDES else (height, width)
        resized = resize(
            image, size, self._host.interpolation, self._device.arrays, reduction=header.reduction
        )
        pixels = turn(resized, header.orientation)
        if header.colours == SRGB:
            return pixels
        # A profile is a program; the host runs it on the tower's few pixels.
        seen = Image.fromarray(self._device.to_host(self._device.arrays.ascontiguousarray(pixels)))
        return self._device.arrays.asarray(np.asarray(header.colours.after_resize(seen)))


def _groups(headers: dict[int, Header]) -> Iterator[list[int]]:
    """Rows that are decoded together, so that the GPU's memory is bounded."""
    group: list[int] = []
    total = 0
    for row, header in headers.items():
        size = header.width * header.height
        if group and total + size > GROUP_PIXELS:
            yield group
            group, total = [], 0
        group.append(row)
        total += size
    if group:
        yield group


def resize(
    image: Array,
    size: tuple[int, int],
    interpolation: str,
    arrays: ArrayModule,
    *,
    reduction: int = 1,
) -> Array:
    """Resizes as Pillow does, within one level.

    Args:
        image: uint8 [H,W,3].
        size: Height and width of the result.
        interpolation: `bilinear` (antialiased) or `nearest`.
        arrays: The image's array module.
        reduction: Take the mean of so many pixels each way before, as Pillow's `reduce` does.

    Returns:
        uint8 [height,width,3].
    """
    source_height, source_width, planes = image.shape
    height, width = size
    if interpolation == NEAREST:
        rows = arrays.asarray(nearest_indices(source_height, height))
        columns = arrays.asarray(nearest_indices(source_width, width))
        return arrays.take(arrays.take(image, rows, axis=0), columns, axis=1)
    # One pass down and one across, each a product with a matrix of weights.
    lines = image.reshape(source_height, source_width * planes)
    down = bilinear_weights(source_height, height, arrays, reduction)
    middle = arrays.empty((height, source_width * planes), np.float32)
    stripe = max(1, _STRIPE // source_height)
    for start in range(0, source_width * planes, stripe):
        part = slice(start, start + stripe)
        middle[:, part] = down @ lines[:, part].astype(np.float32)
    across = bilinear_weights(source_width, width, arrays, reduction)
    planar = middle.reshape(height, source_width, planes).transpose(0, 2, 1)
    result = planar.reshape(height * planes, source_width) @ across.T
    pixels = result.reshape(height, planes, width).transpose(0, 2, 1)
    return arrays.floor(pixels + np.float32(0.5)).astype(np.uint8)


@lru_cache(maxsize=32)  # photos of one camera have one size
def bilinear_weights(source: int, target: int, arrays: ArrayModule, reduction: int = 1) -> Array:
    """The weights of Pillow's antialiased bilinear filter along one axis.

    Args:
        source: Number of pixels.
        target: Number of pixels wanted.
        arrays: The array module.
        reduction: Number of pixels whose mean is taken before.

    Returns:
        fp32 [target,source]; every row sums to 1.
    """
    means = -(-source // reduction)
    scale = means / target
    support = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    distances = np.arange(means) + 0.5 - centres[:, None]
    weights = np.maximum(1.0 - np.abs(distances) / support, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    block = np.arange(source) // reduction  # the last one may have fewer pixels
    return arrays.asarray((weights / np.bincount(block))[:, block], dtype=np.float32)


def nearest_indices(source: int, target: int) -> npt.NDArray[np.int64]:
    """Indices of the `source` pixels that Pillow's nearest filter takes, int64 [target]."""
    # Summed up step by step, as Pillow does: at ties the rounding of the sum decides.
    steps = np.full(target, source / target)
    steps[0] *= 0.5
    indices: npt.NDArray[np.int64] = np.cumsum(steps).astype(np.int64)
    return indices


def turn(image: Array, orientation: int) -> Array:
    """Undoes an EXIF orientation; a view of the image, [H,W,3] or [W,H,3]."""
    if orientation not in _TURNS:
        return image
    swapped, upside_down, mirrored = _TURNS[orientation]
    if swapped:
        image = image.swapaxes(0, 1)
    return image[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
