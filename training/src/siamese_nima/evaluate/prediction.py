"""Predictions for lists of photos: tables for people, distributions for metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import pandas as pd

from iq_serving.contract import QUANTILES, VOTE_BINS
from siamese_nima.data import Sample
from siamese_nima.data.decoding import encoded
from siamese_nima.data.tables import SHARE_COLUMNS
from siamese_nima.distribution import mean_opinion_score, standard_deviation
from siamese_nima.errors import ConfigError, DataError
from siamese_nima.evaluate.scorers import Floats, Scored, Scorer
from siamese_nima.files import write_atomically
from siamese_nima.progress import Progress, silent

BATCH: Final = 32  # within the server's 64

_DECIMALS: Final = 4


def predict(
    paths: Sequence[str | Path], scorer: Scorer, progress: Progress = silent
) -> pd.DataFrame:
    """Scores photos and ranks them.

    Args:
        paths: N files; one that is missing gets an error of its own.
        scorer: See `scorers.open_scorer`.
        progress: Wraps the batches to show progress.

    Returns:
        N rows in the order given, with the columns

        - `source`: the file, text;
        - `mean`: mean opinion score, 1…10, float64; NaN where it could not be scored;
        - `std`: standard deviation of the votes, float64;
        - `p1` … `p10`: shares of the votes, float64;
        - `rank`: 1 for the highest mean, Int64; missing where it could not be scored;
        - `error`: empty where it was scored, else `CODE: text`.
    """
    files = [Path(path) for path in paths]
    starts = range(0, len(files), BATCH)
    parts = [
        _score_files(files[start : start + BATCH], scorer)
        for start in progress(starts, len(starts), "batches")
    ]
    none = np.empty((0, VOTE_BINS), np.float32)
    distributions = np.concatenate([none, *(part.distributions for part in parts)])
    shares = distributions.astype(np.float64)
    frame = pd.DataFrame(shares, columns=list(SHARE_COLUMNS))
    frame.insert(0, "source", [str(file) for file in files])
    frame.insert(1, "mean", mean_opinion_score(shares))
    frame.insert(2, "std", standard_deviation(shares))
    frame["rank"] = frame["mean"].rank(method="first", ascending=False).astype("Int64")
    frame["error"] = [error for part in parts for error in part.errors]
    return frame


def write_table(frame: pd.DataFrame, to: Path | IO[str]) -> None:
    """Writes a table of `predict`.

    Args:
        frame: The table.
        to: A file, which becomes Parquet where its name ends so, or an open one; else CSV with six
            decimals.

    Raises:
        ConfigError: Parquet is asked for and pyarrow is not installed.
    """
    if not isinstance(to, Path):
        frame.to_csv(to, index=False, float_format="%.6f")
        return
    with write_atomically(to) as file:
        if to.suffix.lower() != ".parquet":
            frame.to_csv(file, index=False, float_format="%.6f")
            return
        try:
            frame.to_parquet(file, index=False)
        except ImportError as error:
            raise ConfigError("Parquet needs: pip install 'siamese-nima[parquet]'") from error


def mean_quantiles(frame: pd.DataFrame, of: str) -> dict[str, Any]:
    """The scale that a tower's means are read on, for its `tower.json`.

    Args:
        frame: A table of `predict`.
        of: Name of the set of photos.

    Returns:
        `quantiles`, the means at 0, 1, … 100 % of the photos, and `quantiles_of`.

    Raises:
        DataError: The photos have too few different means: the scale would not rise.
    """
    values = np.quantile(frame["mean"].dropna(), np.linspace(0, 1, QUANTILES)).round(_DECIMALS)
    if not (np.diff(values) > 0).all():
        raise DataError(
            f"{frame['mean'].notna().sum()} photos of {of} are too few, or too much alike, for "
            f"{QUANTILES} quantiles: give more"
        )
    return {"quantiles": values.tolist(), "quantiles_of": of}


def score_samples(samples: Sequence[Sample], scorer: Scorer, progress: Progress = silent) -> Floats:
    """Scores labelled photos that were found readable.

    Args:
        samples: N samples; rungs of ladders are made on the way.
        scorer: See `scorers.open_scorer`.
        progress: Wraps the batches to show progress.

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
    distributions = np.full((len(paths), VOTE_BINS), np.nan, np.float32)
    if files:
        scored = scorer(files)
        distributions[readable] = scored.distributions
        for place, text in zip(np.flatnonzero(readable), scored.errors, strict=True):
            errors[place] = text
    return Scored(distributions, errors)
