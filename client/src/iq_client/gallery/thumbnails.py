"""Small WebP pictures that keep to a limit of bytes, for embedding in a page."""

from __future__ import annotations

import base64
import contextlib
import io
import math
from dataclasses import dataclass

from PIL import Image, ImageCms, ImageOps

# All thumbnails of a page together, before they grow by a third as base64: what browsers open at
# once. A page of few photos may spend more on each, a page of very many gets small ones.
PAGE_BYTES = 40_000_000
MOST_BYTES = 96_000
LEAST_BYTES = 2_500
_LONGEST_SIDE = 960
_SHORTEST_SIDE = 120
# WebP at quality 70 spends about this on a pixel of an ordinary photo.
_BYTES_PER_PIXEL = 0.16


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture inside the page.

    Attributes:
        data_uri: `data:image/webp;base64,…`
        width: Pixels.
        height: Pixels.
    """

    data_uri: str
    width: int
    height: int


def bytes_per_thumbnail(photos: int) -> int:
    """Bytes that each of so many thumbnails may have."""
    return min(MOST_BYTES, max(LEAST_BYTES, PAGE_BYTES // max(photos, 1)))


def thumbnail(image: Image.Image, max_bytes: int) -> Thumbnail:
    """The image upright, in sRGB on white, and no larger than `max_bytes` as WebP.

    Raises:
        OSError: The image cannot be decoded.
    """
    side = round(math.sqrt(max_bytes / _BYTES_PER_PIXEL * 1.5))  # of a picture in 3:2
    side = min(_LONGEST_SIDE, max(_SHORTEST_SIDE, side))
    image.draft("RGB", (2 * side, 2 * side))  # JPEG only: decodes at a reduced scale
    small = _srgb(_shrunk(ImageOps.exif_transpose(image), side), image.info.get("icc_profile"))
    quality = 70
    while True:
        encoded = io.BytesIO()
        small.save(encoded, "WEBP", quality=quality, method=3)
        if encoded.tell() <= max_bytes or side <= 16:
            data = base64.b64encode(encoded.getvalue()).decode("ascii")
            return Thumbnail(f"data:image/webp;base64,{data}", small.width, small.height)
        # Half of what is too much comes from the quality, half from the size.
        excess = math.sqrt(encoded.tell() / max_bytes)
        quality = max(40, round(quality / excess))
        side = max(16, math.floor(max(small.size) / max(math.sqrt(excess), 1.05)))
        small = _shrunk(small, side)


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    # The palette and one-bit modes cannot be resampled, the 16-bit ones would be clipped to 8.
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda level: level / 256).convert("L")
    elif image.mode in ("1", "P", "PA"):
        image = image.convert("RGBA")
    image.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return image


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile and image.mode in ("RGB", "L", "CMYK"):
        # A broken profile is passed over: the photo is shown as if it were sRGB, as browsers do.
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(
                image, io.BytesIO(profile), srgb, outputMode="RGB"
            )
            image = converted or image
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")
