"""Views of photos to learn from: crops, and ladders of distortions, each drawn from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from siamese_nima.distortions import DISTORTIONS, LEVELS, distort, working_picture

UNDISTORTED: Final = -1.0  # the severity of a view without distortion: below every other

# Two rungs of a training ladder are at least this far apart: nearer ones look the same.
SMALLEST_STEP: Final = 0.2


@dataclass(frozen=True, slots=True)
class View:
    """One picture to score.

    Attributes:
        image: RGB, its long side at most `distortions.WORKING_SIDE`.
        photo: Index of the photo that it shows.
        kind: Kind of distortion, "" for none.
        severity: 0…1, `UNDISTORTED` for none.
        whole: Whether it shows the whole photo.
    """

    image: Image.Image
    photo: int
    kind: str
    severity: float
    whole: bool


def training_views(photos: list[Path], *, crops: int, rungs: int, seed: int) -> Iterator[View]:
    """Whole photos, random crops, and ladders of random severities of the whole photo.

    Args:
        photos: Files.
        crops: Random crops of each photo, half of them mirrored.
        rungs: Severities of each kind of distortion for each photo, at least
            `SMALLEST_STEP` apart.
        seed: The same seed gives the same views.

    Yields:
        Views, the photos in order.
    """
    for index, photo in enumerate(photos):
        rng = np.random.default_rng((seed, index))
        picture = working_picture(Image.open(photo))
        yield View(picture, index, "", UNDISTORTED, whole=True)
        for _ in range(crops):
            yield View(_random_crop(picture, rng), index, "", UNDISTORTED, whole=False)
        for kind in DISTORTIONS:
            for severity in _severities(rungs, rng):
                yield View(distort(picture, kind, severity, rng), index, kind, severity, whole=True)


def evaluation_views(photos: list[Path], *, seed: int) -> Iterator[View]:
    """Whole photos and every level of every kind of distortion of them.

    Args:
        photos: Files.
        seed: Seed of the noise.

    Yields:
        Views, the photos in order.
    """
    for index, photo in enumerate(photos):
        rng = np.random.default_rng((seed, index))
        picture = working_picture(Image.open(photo))
        yield View(picture, index, "", UNDISTORTED, whole=True)
        for kind in DISTORTIONS:
            for severity in LEVELS:
                yield View(distort(picture, kind, severity, rng), index, kind, severity, whole=True)


def _random_crop(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A crop of 35…100 % of the area, its aspect ratio within 3:2 of the photo's."""
    area = rng.uniform(0.35, 1.0)
    aspect = np.exp(rng.uniform(-1, 1) * np.log(1.5) / 2)
    width = min(picture.width, round(picture.width * np.sqrt(area) * aspect))
    height = min(picture.height, round(picture.height * np.sqrt(area) / aspect))
    left = int(rng.integers(0, picture.width - width + 1))
    top = int(rng.integers(0, picture.height - height + 1))
    crop = picture.crop((left, top, left + width, top + height))
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop


def _severities(rungs: int, rng: np.random.Generator) -> list[float]:
    """Random severities in 0…1, `SMALLEST_STEP` apart, rising."""
    room = 1.0 - SMALLEST_STEP * (rungs - 1)
    return [
        float(value) + SMALLEST_STEP * rung
        for rung, value in enumerate(np.sort(rng.uniform(0.0, room, rungs)))
    ]
