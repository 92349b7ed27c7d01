"""HEIC photos, decoded here: servers have no decoder for them (extra `heif`)."""

from __future__ import annotations

import io
from typing import Final

from iq_client._iq_serving.contract import LIMITS
from iq_client.errors import InputError
from iq_client.metadata.jpeg import EXIF

# Moves scores by less than .02 votes on the average (tests/client/images/test_heif.py), and is some
# times smaller than a lossless file.
_QUALITY: Final = 95


def decode_heif(data: bytes) -> bytes:
    """The primary picture of a HEIC file as a JPEG, upright, with its EXIF and colour profile.

    Args:
        data: The bytes of the file.

    Raises:
        InputError: `UNSUPPORTED` without the extra, `TOO_LARGE`, or `UNREADABLE`.
    """
    try:
        import pi_heif
    except ImportError as error:
        raise InputError("UNSUPPORTED", "HEIC; pip install 'iq-client[heif]'") from error
    try:
        file = pi_heif.open_heif(io.BytesIO(data))  # reads the header
        pixels = file.size[0] * file.size[1]
        if pixels <= LIMITS.max_pixels:
            image = file.to_pillow()
            kept = {}
            if exif := image.info.get("exif"):
                kept["exif"] = exif if exif.startswith(EXIF) else EXIF + exif
            if profile := image.info.get("icc_profile"):
                kept["icc_profile"] = profile
            buffer = io.BytesIO()
            image.convert("RGB").save(buffer, "JPEG", quality=_QUALITY, subsampling=0, **kept)
            return buffer.getvalue()
    except Exception as error:  # whatever the damage leads the decoder to
        raise InputError("UNREADABLE", f"damaged HEIC: {error}") from error
    raise InputError("TOO_LARGE", f"{pixels} pixels; {LIMITS.max_pixels} at most")
