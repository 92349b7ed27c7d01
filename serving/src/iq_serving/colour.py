"""Meaning of a picture's numbers, and their way to sRGB.

Colours are stated by an ICC profile, by code points (PNG's cICP, AVIF's nclx), by gamma and
primaries (PNG's gAMA and cHRM), or by EXIF's interoperability index (DCF's R03: Adobe RGB); the
first of these that a file has decides. A profile is judged by what it does, never by its name.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from . import ifd

_Floats: TypeAlias = npt.NDArray[np.float64]

_SRGB: Final = ImageCms.createProfile("sRGB")
# A conversion that moves no colour by more levels is none: versions of sRGB's own profile do.
_SAME: Final = 2
# Where greys move by more levels, the picture is converted before it is resized: a mean of linear
# numbers is not a mean of sRGB's, and 8 bits of them are too few for the shadows.
_FAR: Final = 32
_MAX_PROFILE: Final = 8 * 2**20  # bytes; profiles of printers have two or three million
_MODES: Final = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}

# Code points of ITU-T H.273: chromaticities of red, green, blue and white.
_D65: Final = (0.3127, 0.3290)
_SRGB_PRIMARIES: Final = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *_D65)
_PRIMARIES: Final = {
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.310, 0.316),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, 0.310, 0.316),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *_D65),
}
_ADOBE_RGB: Final = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, *_D65)
_ADOBE_GAMMA: Final = 563 / 256
_BRADFORD: Final = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_SDR_WHITE: Final = 203.0  # cd/m² of what a print or a screen shows as white (ITU-R BT.2408)
_HLG_PEAK: Final = 1000.0  # cd/m² of the display that HLG is meant for (ITU-R BT.2100)
_KNEE: Final = 0.5  # of linear light, from where highlights are compressed


def _pq(code: _Floats) -> _Floats:
    """Linear light of SMPTE ST 2084, 1 for white."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = code ** (1 / m2)
    light = 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    return np.asarray(light / _SDR_WHITE)


def _hlg(code: _Floats) -> _Floats:
    """Linear light of ARIB STD-B67 on its display, of each channel by itself, 1 for white."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    return np.asarray(_HLG_PEAK / _SDR_WHITE * scene**1.2)


def _compressed(light: _Floats) -> _Floats:
    """Light above white fitted under it: the same up to the knee, then ever more slowly to 1."""
    room = 1 - _KNEE
    above = np.maximum(light - _KNEE, 0)
    return np.where(light <= _KNEE, light, _KNEE + room * above / (above + room))


def _to_srgb(light: _Floats) -> _Floats:
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _from_srgb(code: _Floats) -> _Floats:
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


# Transfers of ITU-T H.273 that are not shown as sRGB. Those of television (1, 6, 7, 11, 12, 14, 15)
# are, as browsers do.
_TRANSFERS: Final[dict[int, Callable[[_Floats], _Floats]]] = {
    4: lambda code: code**2.2,
    5: lambda code: code**2.8,
    8: lambda code: code,
    9: lambda code: 10 ** (2.0 * (code - 1)),
    10: lambda code: 10 ** (2.5 * (code - 1)),
    16: lambda code: _compressed(_pq(code)),
    17: lambda code: code**2.6 * 52.37 / 48,
    18: lambda code: _compressed(_hlg(code)),
}


_LEVELS: Final = np.arange(256) / 255
_LINEAR: Final = _from_srgb(_LEVELS)


@dataclass(frozen=True, slots=True)
class Colours:
    """The way of a picture's numbers to sRGB; nothing is set where they are sRGB already.

    Attributes:
        profile: A usable ICC profile.
        light: Linear light, 0 to 1, of each of a channel's 256 levels; None for sRGB's.
        matrix: From linear light of the picture's primaries to that of sRGB's, by rows.
        early: True where profile or light are applied before the picture is resized.
    """

    profile: bytes | None = None
    light: tuple[float, ...] | None = None
    matrix: tuple[tuple[float, ...], ...] | None = None
    early: bool = False

    def before_resize(self, image: Image.Image) -> Image.Image:
        """The picture, of mode L, LA, RGB, RGBA or CMYK, as it may be resized."""
        if not self.early:
            return image
        alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
        opaque = image if alpha is None else image.convert(image.mode[:-1])
        if self.light is not None:
            levels = np.rint(255 * _to_srgb(np.array(self.light))).astype(int).tolist()
            converted = opaque.point(levels * len(opaque.getbands()))
        else:
            converted = self._by_profile(opaque)
        if alpha is not None:
            converted.putalpha(alpha)
        return converted

    def after_resize(self, image: Image.Image) -> Image.Image:
        """The resized picture, of mode L, RGB or CMYK, in sRGB."""
        if self.profile is not None and not self.early:
            return self._by_profile(image)
        if image.mode != "RGB":
            image = image.convert("RGB")
        late = None if self.early else self.light
        if late is None and self.matrix is None:
            return image
        light = (_LINEAR if late is None else np.array(late))[np.asarray(image)]
        if self.matrix is not None:
            light = light @ np.array(self.matrix).T
        return Image.fromarray(np.rint(255 * _to_srgb(light)).astype(np.uint8))

    def _by_profile(self, image: Image.Image) -> Image.Image:
        transform = _transform(self.profile or b"", image.mode)
        if transform is None:
            return image.convert("RGB")
        return transform.apply(image.convert(transform.mode)).convert("RGB")


SRGB: Final = Colours()


def stated_by(image: Image.Image, mode: str) -> Colours:
    """The colours that an opened picture states.

    Args:
        image: The picture; `cicp` among its `info` are code points, primaries and transfer.
        mode: The mode in which it is going to be resized.

    Returns:
        Their way to sRGB: `SRGB` where the file states none, sRGB, or what cannot be used.
    """
    info = image.info
    profile = info.get("icc_profile")
    if profile and not ("cicp" in info and image.format == "PNG"):  # there code points come first
        return of_profile(profile, mode.removesuffix("A"))
    if "cicp" in info:
        primaries, transfer = info["cicp"]
        return _of(_TRANSFERS.get(transfer), _PRIMARIES.get(primaries))
    if "srgb" not in info and ("gamma" in info or "chromaticity" in info):
        return _of_png(info.get("gamma"), info.get("chromaticity"))
    if b"R03" in info.get("exif", b"") and ifd.interoperability(info["exif"]) == b"R03":
        return _of(lambda code: code**_ADOBE_GAMMA, _ADOBE_RGB)
    return SRGB


def of_profile(profile: bytes, mode: str) -> Colours:
    """The colours of an ICC profile.

    Args:
        profile: Its bytes.
        mode: L, RGB or CMYK, of the picture that it is for.
    """
    if len(profile) > _MAX_PROFILE:
        return SRGB
    transform = _transform(profile, mode)
    return SRGB if transform is None else Colours(profile=profile, early=transform.is_far)


@dataclass(frozen=True, slots=True)
class _Transform:
    """A colour transform to sRGB.

    Attributes:
        mode: Of the pictures that it takes.
        apply: Applies it.
        is_far: True where greys move far.
    """

    mode: str
    apply: Callable[[Image.Image], Image.Image]
    is_far: bool


@lru_cache(maxsize=16)  # photos of one camera have one profile; transforms may be shared by threads
def _transform(profile: bytes, mode: str) -> _Transform | None:
    """A profile's transform for pictures of a mode; None where it is of another kind, or sRGB."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        wanted = _MODES.get(str(source.profile.xcolor_space).strip(), "")
        # Grey pictures may carry the profile of the coloured ones around them.
        if wanted != mode and (wanted, mode) != ("RGB", "L"):
            return None
        built = ImageCms.buildTransform(source, _SRGB, wanted, "RGB")
        if wanted == "CMYK":
            return _Transform(wanted, _applied(built), is_far=False)
        samples = _samples(wanted)
        seen = _applied(built)(samples)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None  # viewers show a picture with a damaged profile as sRGB; so does the score
    moved = _difference(seen, samples)
    if moved.max() <= _SAME:
        return None
    return _Transform(wanted, _applied(built), bool(moved[:256].max() > _FAR))


def _applied(built: Any) -> Callable[[Image.Image], Image.Image]:
    def apply(image: Image.Image) -> Image.Image:
        converted: Image.Image = built.apply(image)
        return converted

    return apply


def _samples(mode: str) -> Image.Image:
    """All greys, and for RGB a grid of colours behind them, in one row."""
    greys = np.arange(256, dtype=np.uint8)
    if mode == "L":
        return Image.fromarray(greys[None])
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3)
    return Image.fromarray(np.concatenate([np.repeat(greys[:, None], 3, 1), grid])[None])


def _difference(one: Image.Image, other: Image.Image) -> npt.NDArray[np.int16]:
    """The largest difference of a channel at each pixel of a row."""
    left, right = (np.asarray(image.convert("RGB"), np.int16)[0] for image in (one, other))
    difference: npt.NDArray[np.int16] = np.abs(left - right).max(axis=-1)
    return difference


def _of(
    transfer: Callable[[_Floats], _Floats] | None, primaries: tuple[float, ...] | None
) -> Colours:
    """Colours by transfer and primaries, None each for sRGB's."""
    matrix = None if primaries is None else _matrix(primaries)
    if transfer is None:
        return Colours(matrix=matrix)
    light = np.clip(transfer(_LEVELS), 0, 1)
    is_far = 255 * np.abs(_to_srgb(light) - _LEVELS).max() > _FAR
    return Colours(light=tuple(light.tolist()), matrix=matrix, early=bool(is_far))


def _of_png(gamma: float | None, chromaticity: tuple[float, ...] | None) -> Colours:
    """Colours by a PNG's gAMA and cHRM, where they differ from sRGB's by more than rounding."""
    transfer = primaries = None
    if gamma is not None and 0.1 <= gamma <= 10 and abs(gamma - 1 / 2.2) > 0.01:
        exponent = 1 / gamma
        transfer = lambda code: code**exponent  # noqa: E731
    if chromaticity is not None:
        ordered = (*chromaticity[2:], *chromaticity[:2])
        if max(abs(a - b) for a, b in zip(ordered, _SRGB_PRIMARIES, strict=True)) > 0.005:
            primaries = ordered
    return _of(transfer, primaries)


@lru_cache(maxsize=64)
def _matrix(primaries: tuple[float, ...]) -> tuple[tuple[float, ...], ...] | None:
    """From linear light of primaries to that of sRGB's, white on white; None if impossible."""
    try:
        adapted = [_to_d65(one) @ _to_xyz(one) for one in (primaries, _SRGB_PRIMARIES)]
        found = np.linalg.inv(adapted[1]) @ adapted[0]
    except (np.linalg.LinAlgError, ZeroDivisionError):
        return None
    if not np.isfinite(found).all() or np.abs(found).max() > 100:
        return None
    return tuple(tuple(float(value) for value in row) for row in found)


def _xyz(x: float, y: float) -> _Floats:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _to_xyz(primaries: tuple[float, ...]) -> _Floats:
    columns = np.stack([_xyz(*primaries[i : i + 2]) for i in (0, 2, 4)], axis=1)
    return np.asarray(columns * np.linalg.solve(columns, _xyz(*primaries[6:8])))


def _to_d65(primaries: tuple[float, ...]) -> _Floats:
    here, there = (_BRADFORD @ _xyz(*white) for white in (primaries[6:8], _D65))
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(there / here) @ _BRADFORD)
