"""Two towers on the same photos: how alike they are, and which agrees better with people."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from iq_client.results import Score

Floats = npt.NDArray[np.float64]

RESAMPLES: Final = 1000
_SEED: Final = 0
_INTERVAL: Final = (2.5, 97.5)  # percentiles of a bootstrap


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A photo that two towers put in different places.

    Attributes:
        source: Name of the photo.
        first: Mean by the first tower.
        second: Mean by the second.
        first_rank: Place by the first tower, 1 for the best; equal means share one.
        second_rank: Place by the second.
    """

    source: str
    first: float
    second: float
    first_rank: float
    second_rank: float


@dataclass(frozen=True, slots=True)
class PeopleAgreement:
    """The agreement of two towers with ratings by people, as Spearman's correlations.

    Attributes:
        photos: Photos that have a rating and both scores.
        first: Of the first tower's means with the ratings, -1…1; NaN where all are equal.
        second: Of the second tower's.
        difference: The second less the first.
        low: 2.5th percentile of the difference over resamples of the photos, each of which draws
            the same photos for both towers (Efron 1979); NaN where no resample has one.
        high: 97.5th percentile.
    """

    photos: int
    first: float
    second: float
    difference: float
    low: float
    high: float

    @property
    def within_noise(self) -> bool:
        """True where the interval holds 0, or there is none."""
        return not (self.low > 0 or self.high < 0)


@dataclass(frozen=True, slots=True)
class TowerComparison:
    """The scores of two towers for the same photos.

    Attributes:
        photos: Photos that both scored.
        failed: Photos left out, since one of them at least has no score.
        spearman: Rank correlation of the means, -1…1; NaN where one tower's are all equal.
        shift: The second tower's average of the means less the first's, in votes.
        first_spread: Standard deviation of the first tower's means, in votes.
        second_spread: Of the second's.
        disagreements: The photos whose places differ most, most first.
        people: Agreement with ratings; None where none were given.
    """

    photos: int
    failed: int
    spearman: float
    shift: float
    first_spread: float
    second_spread: float
    disagreements: tuple[Disagreement, ...]
    people: PeopleAgreement | None = None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping; None for NaN."""
        values: dict[str, Any] = _without_nan(asdict(self))
        if self.people is not None:
            values["people"]["within_noise"] = self.people.within_noise
        return values


def compare_towers(
    first: Sequence[Score],
    second: Sequence[Score],
    *,
    ratings: Mapping[str, float] | None = None,
    largest: int = 10,
    resamples: int = RESAMPLES,
) -> TowerComparison:
    """Holds the scores of two towers against each other.

    Args:
        first: Scores by one tower.
        second: Scores of the same photos, in the same order, by another.
        ratings: People's ratings by the name of the photo, on any scale; None for no such
            comparison.
        largest: Disagreements to list at most.
        resamples: Of the bootstrap; the same photos are drawn every time.

    Returns:
        The comparison.

    Raises:
        ValueError: The photos differ, or fewer than two are left.
    """
    if [score.source for score in first] != [score.source for score in second]:
        raise ValueError("the two lists of scores are of different photos")
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a.ok and b.ok]
    if len(pairs) < 2:
        raise ValueError(f"both towers scored {len(pairs)} of the photos: 2 at least are needed")
    names = [a.source for a, _ in pairs]
    a = np.array([score.mean for score, _ in pairs])
    b = np.array([score.mean for _, score in pairs])
    return TowerComparison(
        photos=len(pairs),
        failed=len(first) - len(pairs),
        spearman=spearman(a, b),
        shift=float(b.mean() - a.mean()),
        first_spread=float(a.std()),
        second_spread=float(b.std()),
        disagreements=_disagreements(names, a, b, largest),
        people=None if ratings is None else _with_people(names, a, b, ratings, resamples),
    )


def spearman(a: Floats, b: Floats) -> float:
    """Spearman's rank correlation of two vectors [N], -1…1; NaN where one is constant."""
    if len(a) < 2:
        return math.nan
    # Pearson's correlation of the ranks, without the copies that np.corrcoef makes: a bootstrap
    # asks a thousand times.
    x, y = (ranks - ranks.mean() for ranks in (_ranks(a), _ranks(b)))
    norm = math.sqrt(np.square(x).sum() * np.square(y).sum())
    return math.nan if norm == 0 else float((x * y).sum() / norm)


def _ranks(values: Floats) -> Floats:
    """The places of values [N] from the lowest, 1…N; equal ones share the middle of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    shared: Floats = np.cumsum(counts) - (counts - 1) / 2
    return shared[inverse]


def _disagreements(
    names: Sequence[str], a: Floats, b: Floats, largest: int
) -> tuple[Disagreement, ...]:
    places = _ranks(-a), _ranks(-b)
    order = np.argsort(-np.abs(places[0] - places[1]), kind="stable")[:largest]
    return tuple(
        Disagreement(names[i], *(float(values[i]) for values in (a, b, *places)))
        for i in order
        if places[0][i] != places[1][i]
    )


def _with_people(
    names: Sequence[str], a: Floats, b: Floats, ratings: Mapping[str, float], resamples: int
) -> PeopleAgreement:
    rated = np.array([i for i, name in enumerate(names) if name in ratings], np.int64)
    truth = np.array([ratings[names[i]] for i in rated])
    a, b = a[rated], b[rated]

    def difference(rows: npt.NDArray[np.int64]) -> float:
        return spearman(b[rows], truth[rows]) - spearman(a[rows], truth[rows])

    low, high = _interval(difference, len(rated), resamples)
    every = np.arange(len(rated))
    return PeopleAgreement(
        len(rated), spearman(a, truth), spearman(b, truth), difference(every), low, high
    )


def _interval(
    statistic: Callable[[npt.NDArray[np.int64]], float], count: int, resamples: int
) -> tuple[float, float]:
    """The 95 % percentile interval of a statistic over resamples of `count` photos."""
    if count < 2:
        return math.nan, math.nan
    random = np.random.default_rng(_SEED)
    draws = np.array([statistic(random.integers(0, count, count)) for _ in range(resamples)])
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return math.nan, math.nan
    low, high = np.percentile(draws, _INTERVAL)
    return float(low), float(high)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value
