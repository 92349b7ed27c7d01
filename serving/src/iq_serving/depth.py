"""Pictures of every depth and mode as 8 bits of grey, RGB or CMYK, with or without alpha.

Pillow keeps samples of more than 8 bits in a few integer modes and leaves it to the caller what
they mean: here the file's own word on it is taken.
"""

from __future__ import annotations

import io
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin
from PIL.PngImagePlugin import PngImageFile

from .errors import ImageError

# Samples that are turned at a time.
_STRIPE: Final = 4_000_000

# Tags of a TIFF.
_BITS: Final = 258
_PHOTOMETRIC: Final = 262
_SAMPLE_FORMAT: Final = 339
_WHITE_IS_ZERO: Final = 0
_UNSIGNED: Final = 1

_RGB_16: Final = "RGB;16B"
_RGB_LOW_BYTES: Final = "RGB;16L"
# Grey of fewer bits is spread to 8, its transparent level is not.
_SPREAD: Final = {"L;2": 85, "L;4": 17}


def mode_of(image: Image.Image) -> str:
    """The mode in which a picture is going to be resized: L, LA, RGB, RGBA or CMYK.

    Raises:
        ImageError: `UNSUPPORTED`.
    """
    mode = image.mode
    transparent = "transparency" in image.info
    if mode in ("1", "L", "LA", "La") or mode.startswith("I;16") or mode == "I":
        return "LA" if transparent or mode in ("LA", "La") else "L"
    if mode in ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr", "LAB", "HSV"):
        return "RGBA" if transparent or mode in ("PA", "RGBA", "RGBa") else "RGB"
    if mode == "CMYK":
        return mode
    raise ImageError("UNSUPPORTED", f"colour mode {mode} is not served; convert to 8-bit RGB")


def check_depth(image: Image.Image) -> None:
    """Refuses samples of which nobody can say what is black and what is white.

    Args:
        image: An opened picture.

    Raises:
        ImageError: `UNSUPPORTED`.
    """
    mode_of(image)
    if image.format != "TIFF":
        return
    bits, formats = (_tags(image, tag) for tag in (_BITS, _SAMPLE_FORMAT))
    if max(bits, default=8) > 16 or set(formats) - {_UNSIGNED, 4}:
        kind = "unsigned" if set(formats) <= {_UNSIGNED, 4} else "signed or floating"
        raise ImageError(
            "UNSUPPORTED",
            f"a TIFF of {max(bits, default=1)} bits a sample, {kind}; convert to 8 or 16 unsigned",
        )


def has_unknown_samples(tiff: bytes) -> bool:
    """True where a TIFF is refused for the kind of its samples and for nothing else."""
    try:
        TiffImagePlugin.TiffImageFile(io.BytesIO(tiff))
    except SyntaxError as error:
        return "unknown pixel mode" in str(error)
    except Exception:  # decoders raise whatever the damage leads them to
        return False
    return False


def load(image: Image.Image) -> Image.Image:
    """Decodes an opened picture.

    Args:
        image: The picture; loaded afterwards, and turned where Pillow turns by itself.

    Returns:
        Its 8 bits, in the mode of `mode_of`.

    Raises:
        ImageError: `UNSUPPORTED`.
        Exception: The decoder's.
    """
    wanted = mode_of(image)
    key = _prepare_transparency(image)
    low = _low_bytes(image) if key else None
    image.load()
    if image.mode.startswith("I"):
        return _from_sixteen(image)
    if key and low is not None:
        opaque = ~(_matches(image, key, 8) & _matches(low, key, 0))
        picture = image.convert("RGB")
        picture.putalpha(Image.fromarray(opaque.astype(np.uint8) * 255))
        return picture
    if image.mode == "La":
        return image.convert("LA")
    if image.mode == "1" and wanted == "LA":
        grey = image.convert("L")
        grey.putalpha(grey.point([255 * (n != image.info["transparency"]) for n in range(256)]))
        return grey
    return image if image.mode == wanted else image.convert(wanted)


def _prepare_transparency(image: Image.Image) -> tuple[int, int, int] | None:
    """Puts right what Pillow says of a PNG's transparent colour.

    Returns:
        A colour of 16 bits a channel that Pillow would compare with 8 of them; None where there is
        none.
    """
    key = image.info.get("transparency")
    tiles: list[Any] = getattr(image, "tile", [])
    if image.format != "PNG" or key is None or len(tiles) != 1:
        return None
    raw = tiles[0].args
    if raw in _SPREAD and isinstance(key, int):
        image.info["transparency"] = key * _SPREAD[raw]
    if raw != _RGB_16:
        return None
    del image.info["transparency"]
    return cast("tuple[int, int, int]", key)


def _low_bytes(image: Any) -> Image.Image:
    """The lower bytes of a PNG of 48 bits a pixel, of which Pillow keeps the upper ones."""
    low: Any = PngImageFile(io.BytesIO(image.fp.getvalue()))
    low.tile = [low.tile[0]._replace(args=_RGB_LOW_BYTES)]
    low.load()
    return cast("Image.Image", low)


def _matches(image: Image.Image, key: tuple[int, ...], shift: int) -> npt.NDArray[np.bool_]:
    wanted = np.array([level >> shift & 255 for level in key], np.uint8)
    same: npt.NDArray[np.bool_] = (np.asarray(image) == wanted).all(axis=-1)
    return same


def _from_sixteen(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits, in stripes: 16-bit pictures are the largest there are."""
    white, inverted = 65_535, False
    if image.format == "TIFF":
        bits = _tags(image, _BITS)
        white = (1 << bits[0]) - 1 if bits else white
        inverted = _tags(image, _PHOTOMETRIC)[:1] == (_WHITE_IS_ZERO,)
    samples = np.asarray(image)
    levels = np.empty(samples.shape, np.uint8)
    step = max(1, _STRIPE // max(1, samples.shape[1]))
    for start in range(0, len(samples), step):
        part = np.clip(samples[start : start + step], 0, white).astype(np.uint32)
        levels[start : start + step] = (part * 255 + white // 2) // white
    if inverted:
        np.subtract(255, levels, out=levels)
    picture = Image.fromarray(levels)
    key = image.info.get("transparency")
    if key is not None:
        picture.putalpha(Image.fromarray(np.where(samples == key, 0, 255).astype(np.uint8)))
    return picture


def _tags(image: Image.Image, tag: int) -> tuple[int, ...]:
    values = getattr(image, "tag_v2", {}).get(tag, ())
    return values if isinstance(values, tuple) else (values,)
