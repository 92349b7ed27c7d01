"""Synthetic distortions of known order: the more of one, the worse the photo.

Pairs made this way rank without votes (RankIQA, Liu et al. 2017, section 3.2). They are applied to
a working picture whose long side is `WORKING_SIDE`, so that a level means the same for a phone's
photo and a thumbnail.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image, ImageFilter

from iq_serving.preprocessing import SWAPS_SIDES, load_pixels, open_image, orientation

WORKING_SIDE: Final = 512

# The severities of the levels 1…4 that evaluations use; level 0 is the photo itself.
LEVELS: Final = (0.25, 0.5, 0.75, 1.0)

Distort = Callable[[Image.Image, float, np.random.Generator], Image.Image]


def blur(image: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """Gaussian blur, σ 0.6…6 pixels."""
    return image.filter(ImageFilter.GaussianBlur(_between(0.6, 6.0, severity)))


def noise(image: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """White Gaussian noise, σ 8…60 of 255 levels."""
    pixels = np.asarray(image, np.float32)
    noisy = pixels + rng.normal(0.0, _between(8.0, 60.0, severity), pixels.shape)
    return Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def jpeg(image: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """JPEG compression, quality 50…5."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=round(_between(50.0, 5.0, severity)))
    return Image.open(file).convert("RGB")


def rescale(image: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """Scaled down by a factor of 1.5…8 and up again."""
    factor = _between(1.5, 8.0, severity)
    small = (max(1, round(image.width / factor)), max(1, round(image.height / factor)))
    return image.resize(small, Image.Resampling.BILINEAR).resize(
        image.size, Image.Resampling.BICUBIC
    )


def overexpose(image: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """Brightened by 0.5…2.5 stops in linear light; highlights clip."""
    return _expose(image, _between(0.5, 2.5, severity))


def underexpose(image: Image.Image, severity: float, rng: np.random.Generator) -> Image.Image:
    """Darkened by 0.75…4 stops in linear light."""
    return _expose(image, -_between(0.75, 4.0, severity))


DISTORTIONS: Final[dict[str, Distort]] = {
    "blur": blur,
    "noise": noise,
    "jpeg": jpeg,
    "rescale": rescale,
    "overexposure": overexpose,
    "underexposure": underexpose,
}


def distort(
    image: Image.Image, kind: str, severity: float, rng: np.random.Generator
) -> Image.Image:
    """Distorts a picture.

    Args:
        image: RGB, its long side about `WORKING_SIDE`.
        kind: A key of `DISTORTIONS`.
        severity: 0…1; 0 is the mildest distortion, not none.
        rng: Source of the noise.

    Returns:
        A new RGB picture of the same size.

    Raises:
        ValueError: The severity is not in 0…1.
    """
    if not 0.0 <= severity <= 1.0:
        raise ValueError(f"severity is {severity}, not in 0…1")
    return DISTORTIONS[kind](image, severity, rng)


def working_picture(photo: bytes, side: int = WORKING_SIDE) -> Image.Image:
    """A photo as people see it, at most `side` pixels long.

    Args:
        photo: The file's bytes.
        side: Longest side of the result.

    Returns:
        RGB, turned as its EXIF block says, alpha over white, sRGB.

    Raises:
        ImageError: As `preprocessing.load_pixels`.
    """
    image = open_image(photo)
    scale = min(1.0, side / max(image.size))
    height, width = (max(1, round(length * scale)) for length in (image.height, image.width))
    if orientation(image) in SWAPS_SIDES:
        height, width = width, height
    return Image.fromarray(load_pixels(photo, image_size=(height, width)))


def _between(mildest: float, worst: float, severity: float) -> float:
    """Geometric interpolation: equal steps of severity look about equally large."""
    return math.exp(math.log(mildest) + severity * (math.log(worst) - math.log(mildest)))


def _expose(image: Image.Image, stops: float) -> Image.Image:
    """Multiplies linear light by 2**stops (sRGB's gamma taken as 2.2)."""
    gain = 2.0 ** (stops / 2.2)
    return image.point([min(255, round(value * gain)) for value in range(256)] * 3)
