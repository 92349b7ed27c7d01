"""Measures of agreement between predicted and labelled means and distributions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import pearsonr, spearmanr

Floats = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.int64]

# NIMA's classes: a mean above 5 is a good photo (Talebi & Milanfar 2017, table 1).
GOOD_FROM: Final = 5.0


def ordered_pairs(scores: Floats, group: Indices) -> tuple[Indices, Indices]:
    """Every pair of different scores inside a group.

    Args:
        scores: Labels, the higher the better [N].
        group: Scores are comparable within a group only [N].

    Returns:
        Indices of the better and of the worse sides [P].
    """
    better, worse = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=group[order][:1] - 1))
    for rows in np.split(order, starts[1:]):
        first, second = np.triu_indices(len(rows), 1)
        first, second = rows[first], rows[second]
        gap = scores[first] - scores[second]
        better.append(np.where(gap > 0, first, second)[gap != 0])
        worse.append(np.where(gap > 0, second, first)[gap != 0])
    return np.concatenate(better), np.concatenate(worse)


def pair_hits(means: Floats, better: Indices, worse: Indices) -> Floats:
    """1 where the better side has the higher mean, 0.5 where both have the same, else 0 [P]."""
    gap = means[better] - means[worse]
    return np.asarray((np.sign(gap) + 1) / 2)


def pairwise_accuracy(scores: Floats, means: Floats, group: Indices) -> float:
    """Share of the ordered pairs that the means order alike; NaN where there is no pair."""
    better, worse = ordered_pairs(scores, group)
    return float(pair_hits(means, better, worse).mean()) if len(better) else float("nan")


def worst_pairs(
    scores: Floats, means: Floats, group: Indices, count: int
) -> tuple[Indices, Indices]:
    """The pairs whose order the means miss by most.

    Args:
        scores: Labels, the higher the better [N].
        means: Predicted means [N].
        group: Scores are comparable within a group only [N].
        count: How many pairs at most; each photo is in one at most.

    Returns:
        Indices of the better and of the worse sides, the worst-ranked pair first; none that is
        ranked right.
    """
    better, worse = ordered_pairs(scores, group)
    lead = means[better] - means[worse]
    used: set[int] = set()
    chosen: list[int] = []
    for pair in np.argsort(lead, kind="stable"):
        if lead[pair] > 0 or len(chosen) == count:
            break
        sides = {int(better[pair]), int(worse[pair])}
        if not used & sides:
            used |= sides
            chosen.append(int(pair))
    return better[chosen], worse[chosen]


def spearman(truth: Floats, predicted: Floats) -> float:
    """Rank correlation (SRCC), -1…1; NaN where one side is constant."""
    return _correlation(spearmanr, truth, predicted)


def pearson(truth: Floats, predicted: Floats) -> float:
    """Linear correlation (PLCC), -1…1; NaN where one side is constant."""
    return _correlation(pearsonr, truth, predicted)


def good_accuracy(truth: Floats, predicted: Floats) -> float:
    """Share of the photos that both call good (mean above 5) or both not."""
    return float(((truth > GOOD_FROM) == (predicted > GOOD_FROM)).mean())


def mean_emd(truth: Floats, predicted: Floats) -> float:
    """Mean EMD with r = 1 over distributions [N,10], 0…0.9 (Talebi & Milanfar 2017, eq. 1)."""
    return float(np.abs(np.cumsum(truth - predicted, axis=-1)).mean())


def _correlation(function: Any, truth: Floats, predicted: Floats) -> float:
    if len(truth) < 2 or np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        return float("nan")
    return float(function(truth, predicted).statistic)


def std_ratio(truth: Floats, predicted: Floats) -> float:
    """Standard deviation of the predicted over that of the labelled; NaN where labels are equal."""
    return float(predicted.std() / truth.std()) if np.ptp(truth) else float("nan")


def bootstrap(
    metric: Callable[[Indices], float], count: int, *, resamples: int, seed: int
) -> Floats:
    """A metric on resamples of the photos (Efron 1979).

    Args:
        metric: Its value on a resample, given the indices of its photos [N].
        count: N, the number of photos.
        resamples: R, how many.
        seed: Seed of the resamples: the same seed and count draw the same photos.

    Returns:
        Its values [R]; NaN where it has none.
    """
    rng = np.random.default_rng(seed)
    return np.array([metric(rng.integers(0, count, count)) for _ in range(resamples)])


def interval(values: Floats) -> tuple[float, float]:
    """95 % percentile interval of a bootstrap.

    Args:
        values: See `bootstrap` [R].

    Returns:
        The 2.5th and the 97.5th percentile; NaN where no resample has a value.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
