"""Small WebP pictures that keep to a limit of bytes, for embedding in a page."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass

from PIL import Image

from iq_client.images.picture import shown

# All thumbnails of a page together, before they grow by a third as base64: what browsers open at
# once. A page of few photos may spend more on each, a page of very many gets small ones.
PAGE_BYTES = 40_000_000
MOST_BYTES = 96_000
LEAST_BYTES = 2_500
LONGEST_SIDE = 960
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
    side = min(LONGEST_SIDE, max(_SHORTEST_SIDE, side))
    small = shown(image, side)
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
        small.thumbnail((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0)
