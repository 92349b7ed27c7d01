"""Pictures as people see them: the one way of the gallery and of the grouping to their pixels.

The server has a policy of its own, for files; this one is for what the client shows or compares.
"""

from __future__ import annotations

import contextlib
import io
import struct
import threading
from typing import Final

import numpy as np
from PIL import Image, ImageCms, ImageOps

MAX_PIXELS: Final = 200_000_000  # as the server's: decoding more would only cost memory
_LARGE: Final = 50_000_000  # pixels: several hundred MB when decoded
_one_at_a_time: Final = threading.Lock()
WHITE_16: Final = 65_535
_BITS: Final = 258  # tags of a TIFF
_PHOTOMETRIC: Final = 262
_SRGB: Final = ImageCms.createProfile("sRGB")


def opened(data: bytes) -> Image.Image:
    """The image in a file, up to what the server takes as well.

    `PIL.Image.open` warns at less than half of that, and by a limit of the whole process: it is
    the application's to set.

    Args:
        data: The bytes of the file.

    Raises:
        OSError: It is none, or has more than `MAX_PIXELS`.
        Exception: The decoder's, where it is damaged.
    """
    Image.init()
    for name in Image.ID:
        factory, accept = Image.OPEN[name]
        try:
            if accept is not None and accept(data[:16]) is not True:
                continue
            image = factory(io.BytesIO(data), "")
        except (SyntaxError, IndexError, TypeError, struct.error):  # of another format
            continue
        if image.width * image.height > MAX_PIXELS:
            raise OSError(f"{image.width}x{image.height} pixels; {MAX_PIXELS} at most")
        return image
    raise OSError("no image that Pillow knows")


def shown(image: Image.Image, side: int) -> Image.Image:
    """A picture upright, in 8-bit sRGB on white, its longer side `side` pixels at most.

    Args:
        image: Any mode; a JPEG that is not loaded yet is decoded at a reduced scale.
        side: Pixels.

    Raises:
        Exception: The decoder's, where the picture is damaged.
    """
    image.draft("RGB", (2 * side, 2 * side))
    large = image.width * image.height > _LARGE
    with _one_at_a_time if large else contextlib.nullcontext():
        image.load()
        info = image.info
        if image.mode.startswith("I"):
            image = sixteen_bits(image)
        small = _eight_bits(image)
        scale = min(1.0, side / max(small.size))
        size = (max(1, round(small.width * scale)), max(1, round(small.height * scale)))
        small = small.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    small.info = info  # its orientation: turned when it is small, since turning copies all of it
    return _srgb(_on_white(ImageOps.exif_transpose(small)), info.get("icc_profile"))


def sixteen_bits(image: Image.Image) -> Image.Image:
    """A grey picture of an integer mode as I;16 in which 65,535 is white.

    Pillow keeps the samples of a TIFF as they are: 12 bits in the lower part, or white as zero.
    """
    samples = np.asarray(image).astype(np.int64)
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS, 16)
    bits = bits[0] if isinstance(bits, tuple) else bits
    white = 2 ** min(bits, 16) - 1
    levels = np.clip(samples, 0, white) * WHITE_16 // white
    if tags.get(_PHOTOMETRIC) == 0:
        levels = WHITE_16 - levels
    scaled = Image.fromarray(levels.astype(np.uint16))
    scaled.info = dict(image.info)
    return scaled


def _eight_bits(image: Image.Image) -> Image.Image:
    """A picture in a mode that can be resampled: L, LA, RGB, RGBA or CMYK."""
    if image.mode == "I;16":
        samples = np.asarray(image)
        grey = Image.fromarray((samples // 257).astype(np.uint8))
        key = image.info.get("transparency")
        if key is not None:
            grey.putalpha(Image.fromarray(np.where(samples == key, 0, 255).astype(np.uint8)))
        return grey
    if image.mode == "F":  # its range is nobody's but its own
        values = np.nan_to_num(np.asarray(image, np.float64))
        spread = np.ptp(values) or 1.0
        return Image.fromarray(((values - values.min()) / spread * 255).astype(np.uint8))
    if image.has_transparency_data and image.mode not in ("LA", "RGBA"):
        return image.convert("RGBA")
    return image if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK") else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode not in ("LA", "RGBA"):
        return image
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert(image.mode[:-1])


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        # A damaged profile, or one of another kind of picture, is passed over, as browsers do.
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if image.mode == "L" and source.profile.xcolor_space.strip() == "RGB":
                image = image.convert("RGB")
            converted = ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB")
            image = converted or image
    return image.convert("RGB")
