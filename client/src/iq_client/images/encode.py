"""Pictures as the bytes of a file: PIL images and arrays without loss, photos made smaller."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from iq_client.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

ArrayEncoding: TypeAlias = Literal["webp", "png", "tiff"]

_ORIENTATION: Final = 0x0112  # tags of EXIF
_EXIF_IFD: Final = 0x8769
_INTEROP_IFD: Final = 0xA005
_INTEROP_INDEX: Final = 1
_ADOBE_RGB: Final = "R03"
# Modes that no file has.
_SAVED_AS: Final[Mapping[str, str]] = {"La": "LA", "RGBa": "RGBA", "RGBX": "RGB"}
_MAX_WEBP_SIDE: Final = 16383
# The quickest settings of each: more effort saves a few percent of the bytes.
_LOSSLESS: Final[Mapping[str, Mapping[str, Any]]] = {
    "WEBP": {"lossless": True, "quality": 0, "method": 0, "exact": True},
    "PNG": {"compress_level": 1},
    "TIFF": {},
}
_JPEG: Final[Mapping[str, Any]] = {"quality": 95, "subsampling": 0}


def encode_image(image: Image.Image, encoding: ArrayEncoding = "webp") -> bytes:
    """A PIL image as the bytes of a lossless file, with its colour profile and orientation.

    Args:
        image: Any mode that a lossless format here can hold.
        encoding: The format; modes that it cannot hold go as PNG (grey, palette) or TIFF (CMYK,
            YCbCr, LAB), and pictures too large for WebP as PNG.

    Raises:
        InputError: The picture has another mode, or is damaged.
    """
    from PIL import ImageOps

    from iq_client._iq_serving import depth
    from iq_client._iq_serving.errors import ImageError as Refusal

    format_name = _lossless_format(image, encoding)
    buffer = io.BytesIO()
    try:
        depth.check_depth(image)
        options = {**_LOSSLESS[format_name], **_kept_metadata(image)}
        if format_name == "PNG":
            options["pnginfo"] = _stated_colours(image)
        if image.mode.startswith("I") and (image.mode != "I;16" or image.format == "TIFF"):
            image = depth.load(image)  # by what only the picture knows of its black and white
        elif image.mode in _SAVED_AS:
            image = image.convert(_SAVED_AS[image.mode])
        elif image.mode == "RGB" and "transparency" in image.info:
            image = image.convert("RGBA")
        if format_name == "TIFF" and options.pop("exif", None) is not None:
            # Readers disagree on who turns a TIFF: the library, the caller, or both.
            image = ImageOps.exif_transpose(image)
        image.save(buffer, format_name, **options)
    except Refusal as error:
        raise InputError("UNSUPPORTED", error.text) from error
    except Exception as error:  # decoders and encoders raise whatever the damage leads them to
        raise InputError("UNREADABLE", f"the PIL image cannot be encoded: {error}") from error
    return buffer.getvalue()


def encode_array(array: npt.NDArray[np.uint8], encoding: ArrayEncoding = "webp") -> bytes:
    """An array as the bytes of a lossless file.

    Args:
        array: uint8 [H, W, 3] in RGB order.
        encoding: The format.

    Raises:
        InputError: The array has another datatype or shape, or is empty.
    """
    if str(array.dtype) != "uint8" or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise InputError(
            "BAD_INPUT",
            f"an array of {array.dtype} {list(array.shape)}, not uint8 [H, W, 3] in RGB order",
        )
    from PIL import Image

    return encode_image(Image.fromarray(array), encoding)


def shrink(data: bytes, long_side: int) -> bytes:
    """The same photo with its longer side reduced to `long_side` pixels.

    JPEGs are decoded at a reduced DCT scale. The orientation tag and the colour profile stay.

    Args:
        data: The bytes of an image file.
        long_side: Pixels, 1 or more.

    Returns:
        A JPEG of quality 95; `data` itself where it is small enough already, is no JPEG with 8
        bits per channel (such files may be animated, transparent or lossless on purpose), has
        colours that no mean can be taken of as they are, or cannot be read: the server says why.
    """
    from PIL import Image

    from iq_client._iq_serving.colour import stated_by
    from iq_client.images.picture import opened

    try:
        with opened(data) as image:
            if image.format not in ("JPEG", "MPO") or max(image.size) <= long_side:
                return data
            if stated_by(image, image.mode).early:
                return data
            options = {**_JPEG, **_kept_metadata(image)}
            scale = long_side / max(image.size)
            size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
            # Twice the size is left for the antialiasing filter.
            image.draft(None, (2 * size[0], 2 * size[1]))
            buffer = io.BytesIO()
            image.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", **options)
            return buffer.getvalue()
    except Exception:  # decoders raise whatever the damage leads them to
        return data


def _kept_metadata(image: Image.Image) -> dict[str, Any]:
    """Options of `save` for what the pixels mean; the rest of the metadata is nobody's business."""
    from PIL import Image

    kept: dict[str, Any] = {}
    if profile := image.info.get("icc_profile"):
        kept["icc_profile"] = profile
    exif = Image.Exif()
    if (orientation := image.getexif().get(_ORIENTATION, 1)) != 1:
        exif[_ORIENTATION] = orientation
    # DCF's option file says by this alone that its colours are Adobe RGB's.
    if _is_adobe_rgb(image):
        exif[_EXIF_IFD] = {_INTEROP_IFD: {_INTEROP_INDEX: _ADOBE_RGB}}
    if exif:
        kept["exif"] = exif
    return kept


def _is_adobe_rgb(image: Image.Image) -> bool:
    return image.getexif().get_ifd(_INTEROP_IFD).get(_INTEROP_INDEX) == _ADOBE_RGB


def _stated_colours(image: Image.Image) -> PngInfo:
    """The chunks of a PNG that state gamma and primaries, which Pillow reads and does not write."""
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    if "srgb" not in image.info and not image.info.get("icc_profile"):
        if gamma := image.info.get("gamma"):
            chunks.add(b"gAMA", struct.pack(">I", round(gamma * 100_000)))
        if primaries := image.info.get("chromaticity"):
            chunks.add(b"cHRM", struct.pack(">8I", *(round(each * 100_000) for each in primaries)))
    return chunks


def _lossless_format(image: Image.Image, encoding: ArrayEncoding) -> str:
    if image.mode in ("CMYK", "YCbCr", "LAB"):
        return "TIFF"
    if image.mode in ("1", "L", "LA", "La", "P", "PA") or image.mode.startswith("I"):
        return "PNG"
    if not image.info.keys().isdisjoint(("gamma", "chromaticity")):
        return "PNG"
    if encoding == "tiff" and _is_adobe_rgb(image):  # which is said in EXIF
        return "PNG"
    if image.mode not in ("RGB", "RGBA", "RGBa", "RGBX"):
        raise InputError("BAD_INPUT", f"a PIL image of mode {image.mode}: convert it to RGB first")
    if encoding == "webp" and max(image.size) > _MAX_WEBP_SIDE:
        return "PNG"
    return encoding.upper()
