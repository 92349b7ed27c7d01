"""RAW files by the preview that the camera has put into them (extra `raw`)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from iq_client.errors import InputError
from iq_client.metadata import jpeg
from iq_client.metadata.exif import EXIF_IFD, MODEL, READ, TAKEN

if TYPE_CHECKING:
    from PIL import Image

MIN_SIDE: Final = 512  # pixels of the longer side: less is a thumbnail, not the photo
_QUALITY: Final = 95  # of a preview that is not a JPEG already
_ORIENTATION: Final = 0x0112
_ORIENTATIONS: Final = {3: 3, 5: 8, 6: 6}  # LibRaw's flip as EXIF's orientation


def read_preview(data: bytes) -> bytes:
    """The largest preview in a RAW file as a JPEG, with its orientation and time.

    Args:
        data: The bytes of the file.

    Raises:
        InputError: `UNSUPPORTED` without the extra, or where there is a thumbnail only;
            `UNREADABLE`.
    """
    try:
        import rawpy
    except ImportError as error:
        raise InputError("UNSUPPORTED", "RAW; pip install 'iq-client[raw]'") from error
    from PIL import Image

    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            thumbnail = raw.extract_thumb()
            flip = raw.sizes.flip
        if isinstance(thumbnail.data, bytes):  # a JPEG
            preview = thumbnail.data
        else:
            buffer = io.BytesIO()
            Image.fromarray(thumbnail.data).save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
            preview = buffer.getvalue()
        with Image.open(io.BytesIO(preview)) as image:
            size = image.size
            dated = TAKEN in image.getexif().get_ifd(EXIF_IFD)
    except rawpy.LibRawNoThumbnailError as error:
        raise InputError("UNSUPPORTED", "a RAW file without a preview; export a JPEG") from error
    except Exception as error:  # whatever the damage leads the decoders to
        raise InputError("UNREADABLE", f"damaged RAW: {error}") from error
    if max(size) < MIN_SIDE:
        raise InputError(
            "UNSUPPORTED", f"a RAW file with a thumbnail of {size[0]}x{size[1]} only; export a JPEG"
        )
    if dated:
        return preview
    # LibRaw gives a preview without EXIF a little of its own, which has no time.
    return jpeg.replace(preview, jpeg.EXIF, _facts(data, flip).tobytes().removeprefix(jpeg.EXIF))


def _facts(data: bytes, flip: int) -> Image.Exif:
    """The EXIF that a preview lacks; only the orientation where the RAW file is no TIFF."""
    from PIL import Image

    exif, whole = Image.Exif(), Image.Exif()
    exif[_ORIENTATION] = _ORIENTATIONS.get(flip, 1)
    try:
        whole.load(data)
        inner = whole.get_ifd(EXIF_IFD)
    except Exception:  # no TIFF, or a damaged one
        return exif
    if MODEL in whole:
        exif[MODEL] = whole[MODEL]
    exif.get_ifd(EXIF_IFD).update({tag: inner[tag] for tag in READ if tag in inner})
    return exif
