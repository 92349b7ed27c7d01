"""From the bytes of an image file to the pixels a tower sees, the same in training and serving.

Whoever changes what comes out for any input raises `PREPROCESSING_VERSION`: a tower states the
version that it was trained with. `gpu_pixels` does the same on a GPU.
"""

from __future__ import annotations

import io
import struct
import time
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from . import colour, depth
from .contract import BILINEAR, INTERPOLATIONS, LIMITS, NEAREST, Limits
from .errors import ImageError as ImageError
from .headers import Header, known_kind, read_header, unsupported
from .ifd import is_bomb
from .memory import Budget, MemoryBudget

PREPROCESSING_VERSION: Final = 1

_FILTERS: Final = {BILINEAR: Image.Resampling.BILINEAR, NEAREST: Image.Resampling.NEAREST}

# All decoders are loaded now, by one thread: Pillow's lazy loading is not made for several.
Image.init()

# Raster formats only: Pillow also knows containers that start other programs (EPS). A build of
# Pillow may lack some. JPEG includes MPO, which Pillow opens as a JPEG with more frames.
FORMATS: Final = tuple(
    name
    for name in (
        "JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF", "JPEG2000", "PPM", "ICO", "TGA",
    )
    if name in Image.OPEN
)  # fmt: skip

# A JPEG is decoded no smaller than this many times the target on either side: at twice the target
# the mean score moves by about .03 of a vote, below it by more.
DCT_MARGIN: Final = 2

_ORIENTATION_TAG: Final = 0x0112
_TRANSPOSITIONS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SWAPS_SIDES: Final = frozenset({5, 6, 7, 8})
# Files of so few bytes are decoded without looking at the clock.
_QUICK: Final = 65_536
_JPEG: Final = frozenset({"JPEG", "MPO"})  # MPO is a JPEG with more pictures behind it
_END: Final = b"\xff\xd9"  # of a JPEG
_NOISE: Final = bytes(range(1, 128)) * 2
_FIRST_BYTES: Final = 16  # by which decoders know their files

# For callers that share no budget of their own.
_OWN_MEMORY: Final = MemoryBudget()


def load_pixels(
    data: bytes,
    *,
    image_size: tuple[int, int],
    interpolation: str = BILINEAR,
    limits: Limits = LIMITS,
    budget: Budget = _OWN_MEMORY,
) -> npt.NDArray[np.uint8]:
    """Decodes one image file for a tower.

    Args:
        data: The file's bytes.
        image_size: Height and width of the result.
        interpolation: `bilinear` (antialiased; JPEGs are decoded at a reduced DCT scale) or
            `nearest` (of the full picture, as Keras' `load_img` does).
        limits: Larger files and pictures are refused.
        budget: Memory that is shared with other threads.

    Returns:
        Pixels, uint8 [height, width, 3], sRGB.

    Raises:
        ImageError: The file is empty, unreadable, too large or of a kind that is not served.
    """
    header = read_header(data, limits)
    size = (header.width, header.height)
    if not header.width:  # of the few kinds that are cheap to open only the decoder finds it
        size = _open(header, limits).size
    with budget.hold(header.memory(*size, reduced=interpolation == BILINEAR)):
        found = _loaded(header, image_size, interpolation, limits)
    if isinstance(found, ImageError):
        raise found
    return found


def _loaded(
    header: Header, image_size: tuple[int, int], interpolation: str, limits: Limits
) -> npt.NDArray[np.uint8] | ImageError:
    """A file's pixels, or its error.

    Nothing is raised: a traceback would keep the picture when its memory is given back.
    """
    try:
        image = _open(header, limits)
    except ImageError as error:
        return ImageError(error.code, error.text)
    try:
        return to_pixels(image, image_size=image_size, interpolation=interpolation)
    except ImageError as error:
        return ImageError(error.code, error.text)
    except MemoryError:
        return ImageError("TOO_LARGE", "not enough memory to decode it")
    except Exception as error:  # decoders raise whatever the damage leads them to
        return ImageError("UNREADABLE", f"damaged {image.format}: {error}")


def open_image(data: bytes, limits: Limits = LIMITS) -> Image.Image:
    """Reads an image file's header, and refuses what is not to be decoded.

    Args:
        data: The file's bytes.
        limits: Larger files and pictures are refused.

    Returns:
        The picture, not loaded yet.

    Raises:
        ImageError: As `load_pixels`, as far as the header tells.
    """
    return _open(read_header(data, limits), limits)


def to_pixels(
    image: Image.Image, *, image_size: tuple[int, int] | int, interpolation: str = BILINEAR
) -> npt.NDArray[np.uint8]:
    """Turns an opened picture into a tower's pixels; `load_pixels` without the file handling.

    Args:
        image: A picture, not yet loaded where a reduced decode is wanted.
        image_size: Height and width of the result; or its longer side at most, and the picture
            keeps its shape.
        interpolation: `bilinear` or `nearest`.

    Returns:
        Pixels, uint8 [height, width, 3], sRGB.

    Raises:
        ImageError: The colour mode is not served.
        ValueError: The interpolation is unknown.
        Exception: The decoder's, where the picture is damaged.
    """
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"interpolation is {interpolation!r}, not one of {', '.join(INTERPOLATIONS)}"
        )
    file: Any = getattr(image, "fp", None)  # which the decoder lets go of
    try:
        return _pixels(image, image_size, interpolation)
    except OSError:
        if image.format not in _JPEG or file is None or file.closed:
            raise
        file.seek(0)
        data = file.read()
        # A JPEG may lack its end and nothing else. Behind the last row nothing is decoded any more:
        # what is put there changes a picture only where rows are missing.
        whole, longer = (
            _pixels(JpegImageFile(io.BytesIO(data + more + _END), ""), image_size, interpolation)
            for more in (b"", _NOISE)
        )
        if not np.array_equal(whole, longer):
            raise
        return whole


def _pixels(
    image: Image.Image, image_size: tuple[int, int] | int, interpolation: str
) -> npt.NDArray[np.uint8]:
    if interpolation == BILINEAR and image.format in _JPEG:
        # Asked of a JPEG only: to know the orientation of a PNG, Pillow decodes it.
        turned = orientation(image) in SWAPS_SIDES
        width, height = _size(image.size, image_size, turned=turned)
        image.draft(None, (DCT_MARGIN * width, DCT_MARGIN * height))
    # Resized as it lies in the file and turned afterwards: 224x224 pixels to turn, not millions.
    picture = depth.load(image)
    turn = orientation(image)  # 1 now where Pillow turns by itself, which it does for TIFF
    size = _size(picture.size, image_size, turned=turn in SWAPS_SIDES)
    colours = colour.stated_by(image, picture.mode)
    resized = colours.before_resize(picture).resize(size, _FILTERS[interpolation])
    if turn in _TRANSPOSITIONS:
        resized = resized.transpose(_TRANSPOSITIONS[turn])
    return np.asarray(colours.after_resize(_on_white(resized)))


def _size(size: tuple[int, int], wanted: tuple[int, int] | int, *, turned: bool) -> tuple[int, int]:
    """Width and height of the result before it is turned.

    Args:
        size: Width and height of the picture as it lies in the file.
        wanted: Height and width, or the longer side at most.
        turned: Whether turning it swaps its sides.
    """
    if isinstance(wanted, int):
        scale = min(1.0, wanted / max(size))
        return max(1, round(scale * size[0])), max(1, round(scale * size[1]))
    height, width = wanted
    return (height, width) if turned else (width, height)


def _on_white(image: Image.Image) -> Image.Image:
    """The picture without its alpha, of mode L, RGB or CMYK."""
    if image.mode not in ("LA", "RGBA"):
        return image
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert(image.mode[:-1])


def _open(header: Header, limits: Limits) -> Image.Image:
    """Has the decoder read a file's header."""
    # What small files and a JPEG's only scan can cost is bounded by their bytes.
    quick = header.reducible or len(header.data) <= _QUICK
    file = io.BytesIO(header.data) if quick else _Timed(header.data, limits.max_seconds)
    try:
        image = _identified(file)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:  # of this process's own limit, if it has one
        raise ImageError("TOO_LARGE", str(error)) from error
    except MemoryError as error:
        raise ImageError("TOO_LARGE", "not enough memory to open it") from error
    except Exception as error:
        raise ImageError("UNREADABLE", f"damaged header: {error}") from error
    if image is None:
        raise _refusal(header)
    header.check_pixels(*image.size, limits)
    if is_bomb(image.info.get("exif") or b""):
        raise ImageError("TOO_LARGE", "its tags point at many times the bytes that it has")
    depth.check_depth(image)
    if header.cicp is not None:
        image.info["cicp"] = header.cicp
    return image


def _identified(file: io.BytesIO) -> Image.Image | None:
    """The picture in a file; None where no decoder takes it.

    As `Image.open`, whose limit of pixels is one of the whole process, the application's to set,
    and has no code: here `Limits` decides.
    """
    start = file.read(_FIRST_BYTES)
    for name in FORMATS:
        factory, accept = Image.OPEN[name]
        try:
            taken = accept is None or accept(start)
            if not taken or isinstance(taken, str):  # why this build cannot read it
                continue
            file.seek(0)
            return factory(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error):  # of another format
            continue
    return None


def _refusal(header: Header) -> ImageError:
    """The error of a file that no decoder takes."""
    if header.kind == "TIFF" and depth.has_unknown_samples(header.data):
        return ImageError(
            "UNSUPPORTED", "a TIFF whose kind of samples is not served; convert to 8-bit RGB"
        )
    kind = header.kind or known_kind(header.data)
    if kind and kind not in FORMATS:
        return unsupported(kind)
    return ImageError("UNREADABLE", "not an image, or cut off in its header")


class _Timed(io.BytesIO):
    """A file that can no longer be read after a time, so that decoding it ends."""

    def __init__(self, data: bytes, seconds: float) -> None:
        super().__init__(data)
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def read(self, size: int | None = -1, /) -> bytes:
        if time.monotonic() > self._end:
            raise too_slow(self._seconds)
        return super().read(size)


def too_slow(seconds: float) -> ImageError:
    """The error of a file that takes longer to decode than it may."""
    return ImageError("TOO_LARGE", f"decoding takes more than {seconds:g} seconds")


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none or the EXIF block is damaged."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # a picture with broken EXIF is still a picture
        return 1
