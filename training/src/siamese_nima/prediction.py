"""Scores lists of photos and writes them as a table, best first ranked."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from siamese_nima.data import Sample
from siamese_nima.data.pipeline import encoded
from siamese_nima.data.tables import COUNT_COLUMNS
from siamese_nima.distribution import mean_opinion_score, standard_deviation
from siamese_nima.errors import DataError
from siamese_nima.scoring import Floats, Scored, Scorer

BATCH: Final = 32  # within the server's 64

Progress = Callable[[Iterable[Any], int, str], Iterator[Any]]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One scored photo.

    Attributes:
        source: The file.
        mean: Mean opinion score, 1…10; NaN where it could not be scored.
        std: Standard deviation of the votes.
        distribution: Shares of the votes 1…10, float32 [10].
        rank: 1 for the highest mean; 0 where it could not be scored.
        error: Empty where it was scored, else `CODE: text`.
    """

    source: Path
    mean: float
    std: float
    distribution: Floats
    rank: int
    error: str


def predict(paths: Sequence[Path], scorer: Scorer, progress: Progress) -> list[Prediction]:
    """Scores photos.

    Args:
        paths: N files; one that is missing gets an error of its own.
        scorer: See `scoring.open_scorer`.
        progress: Wraps the batches to show how far it is, given their number and a title.

    Returns:
        N predictions in the order given.
    """
    starts = range(0, len(paths), BATCH)
    parts = [
        _score_files(paths[start : start + BATCH], scorer)
        for start in progress(starts, len(starts), "batches")
    ]
    if not parts:
        return []
    distributions = np.concatenate([part.distributions for part in parts])
    errors = [error for part in parts for error in part.errors]
    means, stds = mean_opinion_score(distributions), standard_deviation(distributions)
    ranks = np.zeros(len(paths), np.int64)
    scored = np.flatnonzero(np.isfinite(means))
    ranks[scored[np.argsort(-means[scored], kind="stable")]] = np.arange(1, len(scored) + 1)
    return [
        Prediction(path, float(mean), float(std), distribution, int(rank), error)
        for path, mean, std, distribution, rank, error in zip(
            paths, means, stds, distributions, ranks, errors, strict=True
        )
    ]


def score_samples(samples: Sequence[Sample], scorer: Scorer, progress: Progress) -> Floats:
    """Scores labelled photos that were found readable.

    Args:
        samples: N samples; rungs of ladders are made on the way.
        scorer: See `scoring.open_scorer`.
        progress: See `predict`.

    Returns:
        Distributions, float32 [N,10].

    Raises:
        DataError: The scorer refuses a photo.
    """
    starts = range(0, len(samples), BATCH)
    parts = []
    for start in progress(starts, len(starts), "batches"):
        batch = samples[start : start + BATCH]
        scored = scorer([encoded(sample) for sample in batch])
        for sample, error in zip(batch, scored.errors, strict=True):
            if error:
                raise DataError(f"{sample.path} was not scored: {error}")
        parts.append(scored.distributions)
    return np.concatenate(parts)


def write_predictions(predictions: Sequence[Prediction], file: IO[str]) -> None:
    """Writes a CSV table: source, mean, std, rank, error and the ten shares of the votes.

    Args:
        predictions: In any order.
        file: Opened for text.
    """
    writer = csv.writer(file)
    writer.writerow(["source", "mean", "std", "rank", "error", *COUNT_COLUMNS])
    for each in predictions:
        shares = [f"{share:.6f}" if not each.error else "" for share in each.distribution]
        moments = [f"{each.mean:.6f}", f"{each.std:.6f}", each.rank] if not each.error else [""] * 3
        writer.writerow([each.source, *moments, each.error, *shares])


def _score_files(paths: Sequence[Path], scorer: Scorer) -> Scored:
    """Scores a batch; a file that cannot be read does not reach the scorer."""
    files: list[bytes] = []
    errors = []
    for path in paths:
        try:
            files.append(path.read_bytes())
            errors.append("")
        except OSError as error:
            errors.append(f"MISSING: {error.strerror}")
    readable = np.array([not error for error in errors])
    distributions = np.full((len(paths), len(COUNT_COLUMNS)), np.nan, np.float32)
    if files:
        scored = scorer(files)
        distributions[readable] = scored.distributions
        for place, text in zip(np.flatnonzero(readable), scored.errors, strict=True):
            errors[place] = text
    return Scored(distributions, errors)
