"""Measures of a photo's pixels, from which its reasons are told.

They mean the same for a phone's photo and for a thumbnail: they are taken from the photo reduced to
`SIDE`, or, where reducing would hide what is looked for, brought to that size by arithmetic.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from iq_client._iq_serving import depth
from iq_client.images.picture import shown

SIDE: Final = 384  # pixels of the longer side; of the photos that the weights were fitted on

_TILE: Final = 32
_MOST_EDGES: Final = 0.1  # share of the tiles that sharpness is looked for in
_QUIET: Final = 0.2  # share of the tiles that noise is looked for in
_CLIPPED: Final = 8  # levels from black or white within which noise is cut off
_WHITE: Final = 253  # clipped; JPEG moves it by a level or two
_COLOURED: Final = 240  # of the lowest channel of a pixel that is not white
_LEAST_SHARE: Final = 0.003  # of pixels: less tells nothing
_BLOCK: Final = 8
_CENTRE: Final = 1024  # pixels of a side: what is looked at for noise and blocks
_LEAST_SIDE: Final = 2 * _BLOCK
# Larger JPEGs are decoded at a reduced scale, which takes a part of the time, unless their mean
# step of quantisation is so coarse (about quality 55 and below) that blocks may show.
_MOST_PIXELS: Final = 2_500_000
_COARSE: Final = 50

Luma: TypeAlias = npt.NDArray[np.float32]


class Measures(NamedTuple):
    """Measures of one photo.

    Attributes:
        sharpness: log2 of the energy of second differences over that of first ones, in the tenth of
            the tiles that has the strongest edges: 1 for a step; a blur of σ 2 brings -2.5.
        noise: log2 of the standard deviation of the noise in the quietest tiles, in levels of 255,
            as it is left when the photo is reduced to `SIDE`.
        median, brightest: Luma below which lie 50 and 99 % of the pixels, 0…1.
        clipped: log2 of the pixels with a clipped channel over those that are nearly as bright:
            clipping heaps them up at the end of the scale, a white wall does not.
        coloured: log2 of the share of pixels of which two channels are clipped and the third is
            not: what had a colour has lost it.
        blocks: Height of the steps at the edges of 8x8 blocks over an ordinary difference.
        pixels: Count of them in the file.
    """

    sharpness: float
    noise: float
    median: float
    brightest: float
    clipped: float
    coloured: float
    blocks: float
    pixels: int


def measure(image: Image.Image) -> Measures:
    """The measures of an opened image.

    Args:
        image: Any mode that is served; a JPEG that is not loaded yet is decoded at a reduced scale.

    Raises:
        ValueError: The mode is not served.
        Exception: The decoder's, where the picture is damaged.
    """
    pixels = image.width * image.height
    table = getattr(image, "quantization", {}).get(0, [0])
    if pixels > _MOST_PIXELS and sum(table) / len(table) < _COARSE:
        image.draft("RGB", (2 * SIDE, 2 * SIDE))
    picture = depth.load(image)
    reduced = max(1.0, max(picture.size) / SIDE)
    centre = _centre(picture)
    clipped, coloured = _highlights(picture)
    luma = np.asarray(shown(image, SIDE).convert("L"), np.float32)
    median, brightest = (float(each) / 255 for each in np.percentile(luma, (50, 99)))
    return Measures(
        sharpness=_sharpness(luma),
        noise=math.log2(_noise(centre) / reduced + 0.5),
        median=median,
        brightest=brightest,
        clipped=clipped,
        coloured=coloured,
        blocks=_blocks(centre),
        pixels=pixels,
    )


def _centre(image: Image.Image) -> Luma:
    """The middle of a picture, `_CENTRE` pixels wide and high at most."""
    left, top = (max(0, (length - _CENTRE) // 2) for length in image.size)
    box = (left, top, min(image.width, left + _CENTRE), min(image.height, top + _CENTRE))
    return np.asarray(image.crop(box).convert("L"), np.float32)


def _tiles(values: Luma) -> Luma:
    """The mean of each tile; one tile where the picture is smaller."""
    rows, columns = (max(1, length // _TILE) for length in values.shape)
    height, width = values.shape[0] // rows, values.shape[1] // columns
    cut = values[: rows * height, : columns * width]
    means: Luma = cut.reshape(rows, height, columns, width).mean(axis=(1, 3)).ravel()
    return means


def _sharpness(luma: Luma) -> float:
    """Sharpness of the strongest edges: a blurred ground behind a sharp subject lowers it not."""
    if min(luma.shape) < _LEAST_SIDE:
        return 1.0
    across = np.diff(luma, axis=1)[:-2, :-1], np.diff(luma, 2, axis=1)[:-2]
    down = np.diff(luma, axis=0)[:-1, :-2], np.diff(luma, 2, axis=0)[:, :-2]
    first = _tiles(across[0] ** 2 + down[0] ** 2)
    second = _tiles(across[1] ** 2 + down[1] ** 2)
    strongest = np.argsort(first)[-max(1, round(_MOST_EDGES * first.size)) :]
    return float(np.log2((second[strongest].sum() + 1e-2) / (first[strongest].sum() + 1e-2)))


def _noise(luma: Luma) -> float:
    """Standard deviation of white noise in the quietest tiles, in levels.

    After Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64
    (1996).
    """
    if min(luma.shape) < _LEAST_SIDE:
        return 0.0
    second = np.diff(np.diff(luma, 2, axis=0), 2, axis=1)
    sigma = _tiles(np.abs(second)) * math.sqrt(math.pi / 2) / 6
    level = _tiles(luma[1:-1, 1:-1])
    within = sigma[(level > _CLIPPED) & (level < 255 - _CLIPPED)]
    return float(np.quantile(within if within.size else sigma, _QUIET))


def _highlights(image: Image.Image) -> tuple[float, float]:
    """The measures `clipped` and `coloured`, of single pixels: means of several are not clipped."""
    scale = min(1.0, SIDE / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.NEAREST))
    lowest, middle, highest = np.moveaxis(np.sort(pixels, axis=2), 2, 0)
    clipped = (highest >= _WHITE).mean()
    near = ((highest >= _WHITE - _CLIPPED * 2) & (highest < _WHITE)).mean()
    coloured = ((middle >= _WHITE) & (lowest < _COLOURED)).mean()
    return (
        math.log2((clipped + _LEAST_SHARE) / (near + _LEAST_SHARE)),
        math.log2(coloured + _LEAST_SHARE),
    )


def _blocks(luma: Luma) -> float:
    """Steps at the edges of a grid of 8 pixels, whatever its offset, against those elsewhere.

    After the blockiness of Wang, Sheikh and Bovik, "No-reference perceptual quality assessment of
    JPEG compressed images", ICIP 2002.
    """
    if min(luma.shape) < 4 * _BLOCK:
        return 0.0
    return (_grid(luma) + _grid(luma.T)) / 2


def _grid(luma: Luma) -> float:
    steps = np.abs(np.diff(luma, axis=1))
    above = (steps[:, 1:-1] - (steps[:, :-2] + steps[:, 2:]) / 2).mean(axis=0)
    whole = above[: above.size // _BLOCK * _BLOCK].reshape(-1, _BLOCK).mean(axis=0)
    return float((whole.max() - np.median(whole)) / (steps.mean() + 0.5))
