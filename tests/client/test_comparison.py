"""Two towers on the same photos."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

import numpy as np
import pytest
from scipy.stats import spearmanr

from iq_client import ImageError, Score
from iq_client.comparison import compare_towers, spearman

RANDOM = np.random.default_rng(7)


def scored(means: Iterable[float]) -> list[Score]:
    """A score with each mean; NaN stands for a photo that failed."""
    failed = ImageError("UNREADABLE", "broken")
    return [
        Score.failed(f"{row}.jpg", failed)
        if math.isnan(mean)
        else Score(f"{row}.jpg", float(mean), 1.0, (0.1,) * 10)
        for row, mean in enumerate(means)
    ]


def rated(values: Iterable[float]) -> dict[str, float]:
    return {f"{row}.jpg": float(value) for row, value in enumerate(values)}


@pytest.mark.parametrize("levels", [3, 1000])
def test_the_rank_correlation_is_scipys_with_ties_too(levels: int) -> None:
    a, b = (RANDOM.integers(0, levels, 200).astype(float) for _ in range(2))
    b += a
    expected = spearmanr(a, b).statistic
    assert 0.1 < expected < 0.95
    assert spearman(a, b) == pytest.approx(expected, abs=1e-12)


def test_a_constant_has_no_order() -> None:
    assert math.isnan(spearman(np.ones(5), np.arange(5.0)))
    assert math.isnan(spearman(np.ones(1), np.ones(1)))


def test_shift_spread_and_places() -> None:
    found = compare_towers(scored([2, 3, 4, math.nan, 5]), scored([3, 9, 7, 5, 5]), largest=2)
    assert (found.photos, found.failed) == (4, 1)
    assert found.shift == pytest.approx(6 - 3.5)
    assert found.first_spread == pytest.approx(np.std([2, 3, 4, 5]))
    assert found.second_spread == pytest.approx(np.std([3, 9, 7, 5]))
    places = [(each.source, each.first_rank, each.second_rank) for each in found.disagreements]
    assert places == [("1.jpg", 3, 1), ("4.jpg", 1, 3)]
    assert found.people is None


def test_the_same_order_has_no_disagreements() -> None:
    found = compare_towers(scored([2, 3, 3]), scored([4, 8, 8]))
    assert found.spearman == pytest.approx(1)
    assert found.disagreements == ()


def test_the_tower_that_sees_what_people_see_wins() -> None:
    truth = RANDOM.normal(5, 1, 300)
    close, far = (truth + RANDOM.normal(0, noise, 300) for noise in (0.3, 3))
    better = compare_towers(scored(far), scored(close), ratings=rated(truth), resamples=200)
    assert better.people is not None
    assert better.people.photos == 300
    assert better.people.second == pytest.approx(spearmanr(close, truth).statistic)
    assert better.people.difference == pytest.approx(better.people.second - better.people.first)
    assert 0 < better.people.low < better.people.difference < better.people.high
    assert not better.people.within_noise
    worse = compare_towers(scored(close), scored(far), ratings=rated(truth), resamples=200).people
    assert worse is not None
    assert (worse.low, worse.high) == pytest.approx((-better.people.high, -better.people.low))
    assert not worse.within_noise


def test_the_interval_is_of_pairs() -> None:
    # Each agrees with people badly, and so with an interval that is wide; both fail alike.
    truth = RANDOM.normal(5, 1, 100)
    first = truth + RANDOM.normal(0, 3, 100)
    second = first + RANDOM.normal(0, 0.05, 100)
    people = compare_towers(
        scored(first), scored(second), ratings=rated(truth), resamples=200
    ).people
    mixed = scored(RANDOM.permutation(second))
    alone = compare_towers(scored(first), mixed, ratings=rated(truth), resamples=200).people
    assert people is not None and alone is not None
    assert people.within_noise
    assert people.high - people.low < 0.2 * (alone.high - alone.low)


def test_ratings_of_some_photos_suffice() -> None:
    scores = scored([2, 3, 4, 5])
    people = compare_towers(scores, scores, ratings={"1.jpg": 1, "2.jpg": 2, "gone": 3}).people
    assert people is not None
    assert (people.photos, people.difference) == (2, 0)
    nothing = compare_towers(scores, scores, ratings={})
    assert nothing.people is not None and nothing.people.photos == 0
    assert nothing.people.within_noise
    assert json.loads(json.dumps(nothing.to_dict(), allow_nan=False))["people"]["low"] is None


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="scored 1 of the photos"):
        compare_towers(scored([1, math.nan]), scored([1, 2]))
    with pytest.raises(ValueError, match="different photos"):
        compare_towers(scored([1, 2]), scored([1, 2, 3]))
