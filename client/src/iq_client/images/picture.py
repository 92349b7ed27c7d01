"""Pictures as the server sees them: the one way of gallery, grouping and reasons to their pixels.

What a file's numbers mean is decided by a copy of the server's own code.
"""

from __future__ import annotations

import contextlib
import math
import threading
from typing import Final

from PIL import Image

from iq_client._iq_serving.contract import Limits
from iq_client._iq_serving.preprocessing import open_image, to_pixels

# Nobody waits here who could be kept waiting by a slow file.
_LIMITS: Final = Limits(max_seconds=math.inf)
_LARGE: Final = 50_000_000  # pixels: several hundred MB when decoded
_one_at_a_time: Final = threading.Lock()


def opened(data: bytes) -> Image.Image:
    """The image in a file, not decoded yet.

    Args:
        data: The bytes of the file.

    Raises:
        ValueError: The server would refuse it as well; says why.
    """
    return open_image(data, _LIMITS)


def shown(image: Image.Image, side: int) -> Image.Image:
    """A picture upright, in 8-bit sRGB on white, its longer side `side` pixels at most.

    Args:
        image: Any mode that is served; a JPEG that is not loaded yet is decoded at a reduced scale.
        side: Pixels.

    Raises:
        ValueError: The mode is not served.
        Exception: The decoder's, where the picture is damaged.
    """
    large = image.width * image.height > _LARGE
    with _one_at_a_time if large else contextlib.nullcontext():
        return Image.fromarray(to_pixels(image, image_size=side))
