"""Orders and comparisons of scores: pure, no server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from iq_client.errors import ScoringError
from iq_client.results import RankedImage, RankKey, Score

KEYS: Final[dict[str, Callable[[Score], float]]] = {
    "mean": lambda score: score.mean,
    "lower_bound": lambda score: score.lower_bound,
}


def rank(
    scores: Iterable[Score], top: int | None = None, key: RankKey = "mean"
) -> list[RankedImage]:
    """Puts scores in order, best first.

    Args:
        scores: Scores, failed ones among them.
        top: Rows to return at most; None returns all.
        key: `mean`, or `lower_bound` (mean minus one standard deviation), which puts pictures
            that voters agree on before disputed ones.

    Returns:
        Rows with ranks 1, 2, …; equal scores keep the order they came in; images that failed
        come last, without a rank.

    Raises:
        ValueError: `top` is negative or `key` unknown.
    """
    if top is not None and top < 0:
        raise ValueError(f"top is {top}: give 0 or more, or None for all")
    if key not in KEYS:
        raise ValueError(f"key is {key!r}, not one of {', '.join(KEYS)}")
    scores = list(scores)
    good = sorted((score for score in scores if score.ok), key=KEYS[key], reverse=True)
    rows = [RankedImage(position, score) for position, score in enumerate(good, start=1)]
    rows += [RankedImage(None, score) for score in scores if not score.ok]
    return rows[:top]


def probability_better(a: Score, b: Score) -> float:
    """The probability that a vote on `a` is higher than a vote on `b`.

    Args:
        a: A score.
        b: Another.

    Returns:
        Σ p_a(i)·p_b(j) over i > j, plus half of what lies on i = j: in 0…1, .5 where they are
        alike.

    Raises:
        ScoringError: One of them failed.
    """
    for score in (a, b):
        if not score.ok:
            raise ScoringError(score)
    better = 0.0
    below = 0.0  # what b has on votes lower than i
    for p, q in zip(a.distribution, b.distribution, strict=True):
        better += p * (below + q / 2)
        below += q
    # Distributions of float32 sum to 1 only nearly.
    return better / (sum(a.distribution) * sum(b.distribution))
