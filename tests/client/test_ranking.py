"""Orders and comparisons of scores."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iq_client.errors import ScoringError
from iq_client.ranking import probability_better, rank
from iq_client.results import ImageError, Score

votes = st.lists(st.floats(0.01, 1), min_size=10, max_size=10).map(
    lambda weights: tuple(weight / sum(weights) for weight in weights)
)


def score_of(name: str, distribution: tuple[float, ...]) -> Score:
    mean = sum(i * p for i, p in enumerate(distribution, start=1))
    variance = sum((i - mean) ** 2 * p for i, p in enumerate(distribution, start=1))
    return Score(name, mean, math.sqrt(variance), distribution)


FAILED = Score.failed("broken", ImageError("EMPTY", "no bytes"))


some_scores = st.lists(
    st.one_of(votes.map(lambda distribution: score_of("a", distribution)), st.just(FAILED))
)


@given(some_scores, st.sampled_from(["mean", "lower_bound"]), st.none() | st.integers(0, 20))
def test_ranking(scores: list[Score], key: str, top: int | None) -> None:
    everything = rank(scores, key=key)  # type: ignore[arg-type]
    assert sorted(map(repr, scores)) == sorted(repr(row.score) for row in everything)
    good = [row for row in everything if row.score.ok]
    assert everything[: len(good)] == good
    assert [row.rank for row in everything] == [
        *range(1, len(good) + 1),
        *[None] * (len(everything) - len(good)),
    ]
    keys = [getattr(row.score, key) for row in good]
    assert keys == sorted(keys, reverse=True)
    assert rank(scores, top=top, key=key) == everything[:top]  # type: ignore[arg-type]


def test_equal_scores_keep_their_order() -> None:
    scores = [score_of(name, (0.1,) * 10) for name in "cab"]
    assert [row.score.source for row in rank(scores)] == ["c", "a", "b"]


def test_ranking_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="top"):
        rank([], top=-1)
    with pytest.raises(ValueError, match="lower_bound"):
        rank([], key="median")  # type: ignore[arg-type]


@given(votes, votes)
def test_comparison(p: tuple[float, ...], q: tuple[float, ...]) -> None:
    a, b = score_of("a", p), score_of("b", q)
    expected = sum(
        x * y * (1.0 if i > j else 0.5 if i == j else 0.0)
        for i, x in enumerate(p)
        for j, y in enumerate(q)
    )
    assert probability_better(a, b) == pytest.approx(expected)
    assert probability_better(a, b) + probability_better(b, a) == pytest.approx(1)
    assert probability_better(a, a) == pytest.approx(0.5)


def test_comparison_of_opposites() -> None:
    best, worst = score_of("a", (0.0,) * 9 + (1.0,)), score_of("b", (1.0,) + (0.0,) * 9)
    assert (probability_better(best, worst), probability_better(worst, best)) == (1, 0)
    with pytest.raises(ScoringError, match="broken: EMPTY"):
        probability_better(best, FAILED)
