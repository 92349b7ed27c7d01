"""Makes large photos smaller before they are sent."""

from __future__ import annotations

import io
from typing import Any, Final

_ORIENTATION: Final = 0x0112
_JPEG: Final = {"quality": 95, "subsampling": 0}


def shrink(data: bytes, long_side: int) -> bytes:
    """The same photo with its longer side reduced to `long_side` pixels.

    JPEGs are decoded at a reduced DCT scale. The orientation tag and the colour profile stay.

    Args:
        data: The bytes of an image file.
        long_side: Pixels, 1 or more.

    Returns:
        A JPEG of quality 95; `data` itself where it is small enough already, is no JPEG with 8
        bits per channel (such files may be animated, transparent or lossless on purpose), or
        cannot be read: the server says why.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.format not in ("JPEG", "MPO") or max(image.size) <= long_side:
                return data
            options: dict[str, Any] = dict(_JPEG)
            if profile := image.info.get("icc_profile"):
                options["icc_profile"] = profile
            orientation = image.getexif().get(_ORIENTATION, 1)
            if orientation != 1:
                exif = Image.Exif()
                exif[_ORIENTATION] = orientation
                options["exif"] = exif
            scale = long_side / max(image.size)
            size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
            # Twice the size is left for the antialiasing filter.
            image.draft(None, (2 * size[0], 2 * size[1]))
            buffer = io.BytesIO()
            image.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", **options)
            return buffer.getvalue()
    except Exception:  # decoders raise whatever the damage leads them to
        return data
