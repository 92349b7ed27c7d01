"""Agreement of a tower's scores with the labels of a set, and the difference of two towers'.

Every number comes with the interval of a bootstrap over the photos.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from siamese_nima.data import Sample
from siamese_nima.distribution import mean_opinion_score, standard_deviation
from siamese_nima.evaluate.metrics import (
    bootstrap,
    good_accuracy,
    interval,
    mean_emd,
    ordered_pairs,
    pair_hits,
    pearson,
    spearman,
    std_ratio,
)

Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating[Any]]

# Every pair of this many photos is looked at; of a larger set, as many are drawn.
MAX_PAIRED: Final = 2000
GAP_BINS: Final = 5

# The names of the pairwise accuracies begin so.
KIND: Final = "pairwise "
GAP: Final = "pairwise gap "


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One number with its 95 % interval.

    Attributes:
        value: NaN where the labels do not allow it.
        draws: Its values on the resamples of a bootstrap [R].
        count: Photos, or pairs, that it was computed from.
    """

    value: float
    draws: Floats
    count: int

    @property
    def low(self) -> float:
        """2.5th percentile of the bootstrap; NaN where no resample has a value."""
        return interval(self.draws)[0]

    @property
    def high(self) -> float:
        """97.5th percentile of the bootstrap; NaN where no resample has a value."""
        return interval(self.draws)[1]

    def to_dict(self) -> dict[str, float | int | None]:
        """A JSON-ready mapping; NaN becomes null."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {
            **{key: None if math.isnan(value) else value for key, value in numbers.items()},
            "count": self.count,
        }


def agreement(
    samples: list[Sample], predicted: Floats, *, resamples: int = 200, seed: int = 0
) -> dict[str, Metric]:
    """Compares scores with labels.

    Args:
        samples: N labelled photos.
        predicted: Distributions [N,10], none NaN.
        resamples: Of the bootstrap; photos are drawn, and pairs with them.
        seed: Of the bootstrap, and of the photos drawn for pairs from a large set.

    Returns:
        Metrics by name. `srcc`, `plcc` and `std_ratio` (of the means: predicted over labelled)
        where all scores are comparable, `plcc_std` and `emd` where the labels have them,
        `accuracy_at_5` where they are means of votes. `pairwise` and, by the gap between the
        labels, `pairwise GAP`; ladders of distortions also by their kind.
    """
    means = mean_opinion_score(predicted)
    score = np.array([sample.score for sample in samples])
    _, group = np.unique([sample.group for sample in samples], return_inverse=True)
    rows = np.arange(len(samples))

    def metric(function: Callable[[Indices], float], of: Indices) -> Metric:
        draws = bootstrap(
            lambda drawn: function(of[drawn]), len(of), resamples=resamples, seed=seed
        )
        return Metric(function(of), draws, len(of))

    metrics: dict[str, Metric] = {}
    if group.max() == 0:
        metrics["srcc"] = metric(lambda r: spearman(score[r], means[r]), rows)
        metrics["plcc"] = metric(lambda r: pearson(score[r], means[r]), rows)
        metrics["std_ratio"] = metric(lambda r: std_ratio(score[r], means[r]), rows)
    with_std = np.array([i for i, sample in enumerate(samples) if sample.std is not None], np.int64)
    if len(with_std):
        std = np.array([sample.std or 0.0 for sample in samples])
        spread = standard_deviation(predicted)
        metrics["plcc_std"] = metric(lambda r: pearson(std[r], spread[r]), with_std)
        metrics["accuracy_at_5"] = metric(lambda r: good_accuracy(score[r], means[r]), with_std)
    with_votes = np.array([i for i, s in enumerate(samples) if s.distribution], np.int64)
    if len(with_votes):
        votes = np.zeros(predicted.shape)
        votes[with_votes] = [samples[row].distribution for row in with_votes]
        metrics["emd"] = metric(lambda r: mean_emd(votes[r], predicted[r]), with_votes)
    return metrics | _pairwise(samples, score, means, group, resamples, seed)


def differences(first: Mapping[str, Metric], second: Mapping[str, Metric]) -> dict[str, Metric]:
    """Paired differences of two models' metrics.

    Both were computed on the same photos, and every resample drew the same of them for both: what
    is easy or hard about a drawn set cancels, and the interval is narrower than that of two sets.

    Args:
        first: Of one model, see `agreement`.
        second: Of the other, of the same samples, with the same resamples and seed.

    Returns:
        By name: the first's value minus the second's, and its interval.
    """
    return {
        name: Metric(one.value - second[name].value, one.draws - second[name].draws, one.count)
        for name, one in first.items()
    }


def within_noise(difference: Metric) -> bool:
    """Whether 0 lies in the interval of a paired difference, or it has none."""
    return not (difference.low > 0 or difference.high < 0)


def _pairwise(
    samples: list[Sample],
    score: Floats,
    means: Floats,
    group: Indices,
    resamples: int,
    seed: int,
) -> dict[str, Metric]:
    """Pairwise accuracy overall, by kind of distortion and by gap."""
    rows = np.arange(len(samples))
    if group.max() == 0 and len(samples) > MAX_PAIRED:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MAX_PAIRED, replace=False))
    better, worse = (rows[side] for side in ordered_pairs(score[rows], group[rows]))
    if not len(better):
        return {}
    hits = pair_hits(means, better, worse)
    gaps = score[better] - score[worse]
    # Rungs of a ladder are one photo: drawn together, and a pair of them counts once.
    _, photo = np.unique([str(sample.path) for sample in samples], return_inverse=True)
    once = photo[better] == photo[worse]

    def metric(chosen: npt.NDArray[np.bool_]) -> Metric:
        b, w, h = photo[better[chosen]], photo[worse[chosen]], hits[chosen]
        single = once[chosen]

        def resampled(drawn: Indices) -> float:
            times = np.bincount(drawn, minlength=photo.max() + 1).astype(np.float64)
            weight = np.where(single, times[b], times[b] * times[w])
            return float(weight @ h / weight.sum()) if weight.any() else float("nan")

        draws = bootstrap(resampled, int(photo.max()) + 1, resamples=resamples, seed=seed)
        return Metric(float(h.mean()), draws, int(chosen.sum()))

    metrics = {"pairwise": metric(np.ones(len(hits), np.bool_))}
    kinds = np.array([sample.kind for sample in samples])[worse]
    for kind in dict.fromkeys(kinds[kinds != ""]):
        metrics[f"{KIND}{kind}"] = metric(kinds == kind)
    for name, chosen in _gap_bins(gaps):
        if chosen.any():
            metrics[f"{GAP}{name}"] = metric(chosen)
    return metrics


def _gap_bins(gaps: Floats) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """Gaps one by one where they are few, else in bins of equal width."""
    distinct = np.unique(gaps)
    if len(distinct) <= 10:
        return [(f"{gap:g}", gaps == gap) for gap in distinct]
    edges = np.linspace(0, distinct[-1], GAP_BINS + 1)
    place = np.clip(np.digitize(gaps, edges) - 1, 0, GAP_BINS - 1)
    return [
        (f"{edges[index]:.2f}…{edges[index + 1]:.2f}", place == index) for index in range(GAP_BINS)
    ]
