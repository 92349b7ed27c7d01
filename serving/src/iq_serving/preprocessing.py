"""From the bytes of an image file to the pixels a tower sees, the same in training and serving.

Whoever changes what comes out for any input raises `PREPROCESSING_VERSION`: a tower states the
version that it was trained with. `gpu_pixels` does the same on a GPU.
"""

from __future__ import annotations

import io
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, UnidentifiedImageError

from .contract import BILINEAR, INTERPOLATIONS, LIMITS, NEAREST, Limits

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
_SRGB: Final = ImageCms.createProfile("sRGB")

# `Limits` decides what is too large, with a code of its own; Pillow's global guard only warns.
Image.MAX_IMAGE_PIXELS = None


class ImageError(ValueError):
    """An image that cannot be turned into pixels.

    Attributes:
        code: `EMPTY`, `UNREADABLE`, `TOO_LARGE` or `UNSUPPORTED`.
        text: One sentence for people.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


def load_pixels(
    data: bytes,
    *,
    image_size: tuple[int, int],
    interpolation: str = BILINEAR,
    limits: Limits = LIMITS,
) -> npt.NDArray[np.uint8]:
    """Decodes one image file for a tower.

    Args:
        data: The file's bytes.
        image_size: Height and width of the result.
        interpolation: `bilinear` (antialiased; JPEGs are decoded at a reduced DCT scale) or
            `nearest` (of the full picture, as Keras' `load_img` does).
        limits: Larger files and pictures are refused.

    Returns:
        Pixels, uint8 [height, width, 3], sRGB.

    Raises:
        ImageError: The file is empty, unreadable, too large or of a kind that is not served.
    """
    image = open_image(data, limits)
    try:
        return to_pixels(image, image_size=image_size, interpolation=interpolation)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError("TOO_LARGE", "not enough memory to decode it") from error
    except Exception as error:  # decoders raise whatever the damage leads them to
        raise ImageError("UNREADABLE", f"damaged {image.format}: {error}") from error


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
    if not data:
        raise ImageError("EMPTY", "the file has no bytes")
    if len(data) > limits.max_bytes:
        raise ImageError(
            "TOO_LARGE", f"{len(data)} bytes, more than the limit of {limits.max_bytes}"
        )
    image = _open(data)
    if image.width * image.height > limits.max_pixels:
        raise ImageError(
            "TOO_LARGE",
            f"{image.width}x{image.height} pixels, more than the limit of {limits.max_pixels}",
        )
    return image


def to_pixels(
    image: Image.Image, *, image_size: tuple[int, int], interpolation: str = BILINEAR
) -> npt.NDArray[np.uint8]:
    """Turns an opened picture into a tower's pixels; `load_pixels` without the file handling.

    Args:
        image: A picture, not yet loaded where a reduced decode is wanted.
        image_size: Height and width of the result.
        interpolation: `bilinear` or `nearest`.

    Returns:
        Pixels, uint8 [height, width, 3], sRGB.

    Raises:
        ImageError: The colour mode is not served.
        ValueError: The interpolation is unknown.
    """
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"interpolation is {interpolation!r}, not one of {', '.join(INTERPOLATIONS)}"
        )
    height, width = image_size
    # Resized as it lies in the file and turned afterwards: 224x224 pixels to turn, not millions.
    size = (height, width) if orientation(image) in SWAPS_SIDES else (width, height)
    if interpolation == BILINEAR:
        image.draft(None, (DCT_MARGIN * size[0], DCT_MARGIN * size[1]))
    image.load()
    turn = orientation(image)  # 1 now where Pillow turns by itself, which it does for TIFF
    size = (height, width) if turn in SWAPS_SIDES else (width, height)
    profile = image.info.get("icc_profile")
    resized = _resizable(image).resize(size, _FILTERS[interpolation])
    if turn in _TRANSPOSITIONS:
        resized = resized.transpose(_TRANSPOSITIONS[turn])
    if resized.mode == "RGBA":
        white = Image.new("RGBA", resized.size, "white")
        resized = Image.alpha_composite(white, resized).convert("RGB")
    return np.asarray(to_srgb(resized, profile))


def _open(data: bytes) -> Image.Image:
    """Reads an image file's header."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        pass
    except Exception as error:
        raise ImageError("UNREADABLE", f"damaged header: {error}") from error
    try:
        kind = Image.open(io.BytesIO(data)).format
    except Exception as error:
        raise ImageError("UNREADABLE", "not an image, or cut off in its header") from error
    raise ImageError("UNSUPPORTED", f"{kind} files are not served; convert to JPEG or PNG")


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none or the EXIF block is damaged."""
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # a picture with broken EXIF is still a picture
        return 1


def _resizable(image: Image.Image) -> Image.Image:
    """The picture in a mode that can be resized without harm: L, RGB, RGBA or CMYK."""
    mode = image.mode
    if mode in ("P", "PA", "LA", "La", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA")
    if mode in ("L", "RGB", "RGBA", "CMYK"):
        return image
    if mode.startswith("I"):  # 16 bits a sample, whatever the integer that Pillow keeps them in
        samples = np.asarray(image).astype(np.float32) / 257.0
        return Image.fromarray(np.clip(np.rint(samples), 0, 255).astype(np.uint8))
    if mode in ("1", "RGBX", "YCbCr", "LAB", "HSV"):
        return image.convert("RGB")
    raise ImageError("UNSUPPORTED", f"colour mode {mode} is not served; convert to 8-bit RGB")


def foreign_profile(profile: bytes | None) -> ImageCms.ImageCmsProfile | None:
    """An embedded colour profile, where it can be read and is not sRGB."""
    if not profile:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except (ImageCms.PyCMSError, OSError):
        return None  # viewers show a picture with a damaged profile as sRGB; so does the score
    return None if "srgb" in (source.profile.profile_description or "").lower() else source


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Converts to sRGB by the embedded profile, where there is a usable one."""
    source = foreign_profile(profile)
    if source is not None:
        try:
            converted = ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError):
            pass  # a profile of another kind of picture, such as CMYK's in an RGB file
    return image if image.mode == "RGB" else image.convert("RGB")
