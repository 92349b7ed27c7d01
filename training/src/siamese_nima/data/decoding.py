"""Samples as pixels and as image files, without any framework."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from iq_serving.preprocessing import load_pixels, to_pixels
from siamese_nima.data.distortions import distort, working_picture
from siamese_nima.data.samples import ORIGINAL, Sample


def decode(
    sample: Sample, *, image_size: tuple[int, int], interpolation: str
) -> npt.NDArray[np.uint8]:
    """The pixels of a sample, as the server would make them.

    Noise is drawn from the photo's name and level, so that a sample looks alike in every epoch.

    Args:
        sample: Its file is read.
        image_size: Height and width of the result.
        interpolation: One of `contract.INTERPOLATIONS`.

    Returns:
        Pixels, uint8 [H,W,3].

    Raises:
        OSError: The file cannot be read.
        ImageError: The file cannot be decoded.
    """
    if not sample.kind:
        data = sample.path.read_bytes()
        return load_pixels(data, image_size=image_size, interpolation=interpolation)
    picture = ladder_picture(sample)
    return to_pixels(picture, image_size=image_size, interpolation=interpolation)


def encoded(sample: Sample) -> bytes:
    """A sample as an image file, for scorers that decode: a rung of a ladder is made a PNG.

    Raises:
        OSError: The file cannot be read.
    """
    if not sample.kind:
        return sample.path.read_bytes()
    file = io.BytesIO()
    ladder_picture(sample).save(file, "PNG", compress_level=1)
    return file.getvalue()


def ladder_picture(sample: Sample) -> Image.Image:
    """A rung of a ladder of distortions, upright RGB."""
    picture = working_picture(sample.path.read_bytes())
    if sample.kind != ORIGINAL:
        name = f"{sample.path.name} {sample.kind} {sample.severity}"
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
        picture = distort(picture, sample.kind, sample.severity, np.random.default_rng(seed))
    return picture
