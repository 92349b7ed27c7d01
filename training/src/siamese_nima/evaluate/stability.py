"""Stability of a tower: how far its means move where people see no difference.

Each photo is changed in ways that leave its quality alone. The mean absolute change of the means is
given as a share of their standard deviation over the photos, so that towers of another spread can
be compared.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from siamese_nima.data.distortions import working_picture
from siamese_nima.distribution import mean_opinion_score
from siamese_nima.errors import DataError
from siamese_nima.evaluate.agreement import Indices, Metric
from siamese_nima.evaluate.metrics import Floats, bootstrap
from siamese_nima.evaluate.prediction import BATCH
from siamese_nima.evaluate.scorers import Scorer
from siamese_nima.progress import Progress, silent

QUALITY: Final = 95
RESIZED: Final = 0.75
CROPPED: Final = 0.02

_NO_LIMIT: Final = 2**20  # pixels of a side


def reencoded(image: Image.Image) -> bytes:
    """The picture as JPEG of quality `QUALITY`."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def resized(image: Image.Image) -> bytes:
    """The picture with sides of `RESIZED` of its own, antialiased, without loss."""
    sides = (max(1, round(image.width * RESIZED)), max(1, round(image.height * RESIZED)))
    return _lossless(image.resize(sides, Image.Resampling.BILINEAR))


def cropped(image: Image.Image) -> bytes:
    """The picture without `CROPPED` of its width and height, half of it at each end."""
    left, top = (round(side * CROPPED / 2) for side in image.size)
    return _lossless(image.crop((left, top, image.width - left, image.height - top)))


CHANGES: Final[dict[str, Callable[[Image.Image], bytes]]] = {
    "moved by re-encoding": reencoded,
    "moved by resizing": resized,
    "moved by cropping": cropped,
}


def stability(
    paths: Sequence[Path],
    scorer: Scorer,
    *,
    resamples: int = 200,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Metric]:
    """Measures a tower's stability.

    Args:
        paths: N readable photos of different quality.
        scorer: See `scorers.open_scorer`.
        resamples: Of the bootstrap over the photos.
        seed: Of the bootstrap.
        progress: Wraps the batches to show progress.

    Returns:
        By the name of the change: mean |Δmean| over the standard deviation of the means.

    Raises:
        DataError: The scorer refuses a photo.
    """
    starts = range(0, len(paths), BATCH)
    parts = []
    for start in progress(starts, len(starts), "batches"):
        pictures = [
            working_picture(path.read_bytes(), _NO_LIMIT) for path in paths[start : start + BATCH]
        ]
        parts.append(
            [
                _means([change(picture) for picture in pictures], scorer)
                for change in (_lossless, *CHANGES.values())
            ]
        )
    before, *changed = np.concatenate(parts, axis=1)

    def moved(after: Floats) -> Metric:
        def share(rows: Indices) -> float:
            spread = before[rows].std()
            return float(np.abs(after - before)[rows].mean() / spread) if spread else float("nan")

        draws = bootstrap(share, len(paths), resamples=resamples, seed=seed)
        return Metric(share(np.arange(len(paths))), draws, len(paths))

    return {name: moved(after) for name, after in zip(CHANGES, changed, strict=True)}


def _means(files: Sequence[bytes], scorer: Scorer) -> Floats:
    scored = scorer(files)
    for error in filter(None, scored.errors):
        raise DataError(f"a changed photo was not scored: {error}")
    return mean_opinion_score(scored.distributions)


def _lossless(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()
