"""Views of photos to learn from: crops and mixtures of photos, and ladders of distortions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageEnhance

from siamese_nima.data.distortions import DISTORTIONS, LEVELS, distort, working_picture

UNDISTORTED: Final = -1.0  # the severity of a view without distortion: below every other

# Two rungs of a training ladder are at least this far apart: nearer ones look the same.
SMALLEST_STEP: Final = 0.2

# Crops are taken from a picture of this many pixels on its long side, mixtures from two of the
# last few photos.
CROP_SIDE: Final = 1024
_PARTNERS: Final = 32

# Shares of the random views: what is not mixed or recoloured is a plain crop.
_BLENDED: Final = 0.2
_JOINED: Final = 0.15
_RECOLOURED: Final = 0.2


@dataclass(frozen=True, slots=True)
class View:
    """One picture to score.

    Attributes:
        image: RGB.
        photo: Index of the photo that it shows.
        kind: Kind of distortion, "" for none.
        severity: 0…1, `UNDISTORTED` for none.
        whole: Whether it shows the whole photo as it is, or a distortion of that.
    """

    image: Image.Image
    photo: int
    kind: str
    severity: float
    whole: bool


def training_views(photos: list[Path], *, crops: int, rungs: int, seed: int) -> Iterator[View]:
    """Whole photos, ladders of random severities of them, and random views.

    A random view is a crop of 15…100 % of the area, half of them mirrored; some are recoloured,
    blended with or joined to a crop of another photo. A teacher can be asked about any picture, and
    the more different pictures, the closer a student comes to it (Beyer et al. 2022, section 3).

    Args:
        photos: Files.
        crops: Random views of each photo.
        rungs: Severities of each kind of distortion for each photo, at least
            `SMALLEST_STEP` apart.
        seed: The same seed gives the same views.

    Yields:
        Views, the photos in order.

    Raises:
        ImageError: A photo cannot be read.
    """
    partners: deque[Image.Image] = deque(maxlen=_PARTNERS)
    for index, photo in enumerate(photos):
        rng = np.random.default_rng((seed, index))
        data = photo.read_bytes()
        yield from _ladders(data, index, [_severities(rungs, rng) for _ in DISTORTIONS], rng)
        picture = working_picture(data, CROP_SIDE)
        partners.append(picture)
        for _ in range(crops):
            view = _random_view(picture, partners, rng)
            yield View(view, index, "", UNDISTORTED, whole=False)


def evaluation_views(photos: list[Path], *, seed: int) -> Iterator[View]:
    """Whole photos and every level of every kind of distortion of them.

    Args:
        photos: Files.
        seed: Seed of the noise.

    Yields:
        Views, the photos in order.

    Raises:
        ImageError: A photo cannot be read.
    """
    for index, photo in enumerate(photos):
        rng = np.random.default_rng((seed, index))
        yield from _ladders(photo.read_bytes(), index, [LEVELS for _ in DISTORTIONS], rng)


def _ladders(
    photo: bytes,
    index: int,
    severities: list[tuple[float, ...]],
    rng: np.random.Generator,
) -> Iterator[View]:
    """The whole photo, then the severities of each kind of distortion of it."""
    picture = working_picture(photo)
    yield View(picture, index, "", UNDISTORTED, whole=True)
    for kind, chosen in zip(DISTORTIONS, severities, strict=True):
        for severity in chosen:
            yield View(distort(picture, kind, severity, rng), index, kind, severity, whole=True)


def _random_view(
    picture: Image.Image, partners: deque[Image.Image], rng: np.random.Generator
) -> Image.Image:
    """A crop, perhaps recoloured, or mixed with a crop of one of the partners."""
    crop = _random_crop(picture, rng)
    draw = rng.random()
    if draw < _BLENDED + _JOINED:
        other = _random_crop(partners[int(rng.integers(len(partners)))], rng).resize(
            crop.size, Image.Resampling.BILINEAR
        )
        share = float(rng.uniform(0.2, 0.8))
        if draw < _BLENDED:
            return Image.blend(crop, other, share)
        if rng.random() < 0.5:
            crop.paste(other.crop((0, 0, crop.width, round(crop.height * share))))
        else:
            crop.paste(other.crop((0, 0, round(crop.width * share), crop.height)))
        return crop
    return _recolour(crop, rng) if draw < _BLENDED + _JOINED + _RECOLOURED else crop


def _recolour(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Brightness, contrast and saturation changed by up to a factor of 1.6 each way."""
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = change(picture).enhance(float(np.exp(rng.uniform(-1, 1) * np.log(1.6))))
    return picture


def _random_crop(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A crop of 15…100 % of the area, its aspect ratio within 3:2 of the photo's."""
    area = rng.uniform(0.15, 1.0)
    aspect = np.exp(rng.uniform(-1, 1) * np.log(1.5) / 2)
    width = min(picture.width, round(picture.width * np.sqrt(area) * aspect))
    height = min(picture.height, round(picture.height * np.sqrt(area) / aspect))
    left = int(rng.integers(0, picture.width - width + 1))
    top = int(rng.integers(0, picture.height - height + 1))
    crop = picture.crop((left, top, left + width, top + height))
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop


def _severities(rungs: int, rng: np.random.Generator) -> tuple[float, ...]:
    """Random severities in 0…1, `SMALLEST_STEP` apart, rising."""
    room = 1.0 - SMALLEST_STEP * (rungs - 1)
    return tuple(
        float(value) + SMALLEST_STEP * rung
        for rung, value in enumerate(np.sort(rng.uniform(0.0, room, rungs)))
    )
