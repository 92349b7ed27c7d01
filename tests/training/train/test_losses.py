"""Losses against their formulas, written out in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops

from siamese_nima.train.losses import (
    contrastive,
    earth_movers_distance,
    ladder_ranking,
    margin_ranking,
    mean_score,
    pairwise_logistic,
    probability_of_order,
    squared_earth_movers_distance,
)

means = arrays(np.float32, 6, elements=st.floats(1, 10, width=32))
distributions = arrays(np.float32, (4, 10), elements=st.floats(2**-7, 1, width=32)).map(
    lambda votes: votes / votes.sum(axis=-1, keepdims=True)
)


@given(distributions, distributions)
def test_emd_is_a_distance(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> None:
    there = ops.convert_to_numpy(earth_movers_distance(a, b))
    back = ops.convert_to_numpy(earth_movers_distance(b, a))
    np.testing.assert_allclose(there, back, atol=1e-6)
    assert (there >= 0).all()
    assert (there <= 1).all()
    gap = np.abs(np.cumsum(a, -1) - np.cumsum(b, -1)) ** 2
    np.testing.assert_allclose(there, gap.mean(-1) ** 0.5, atol=1e-4)


def test_emd_grows_with_the_distance_of_the_votes() -> None:
    votes = np.eye(10, dtype=np.float32)
    distances = ops.convert_to_numpy(earth_movers_distance(votes[[0] * 10], votes))
    np.testing.assert_allclose(distances, np.sqrt(np.arange(10) / 10), atol=1e-6)
    squared = ops.convert_to_numpy(squared_earth_movers_distance(votes[[0] * 10], votes))
    np.testing.assert_allclose(squared, np.arange(10) / 10, atol=1e-6)


def test_mean_score_of_one_vote_is_that_vote() -> None:
    means = ops.convert_to_numpy(mean_score(np.eye(10, dtype=np.float32)))
    np.testing.assert_allclose(means, np.arange(1, 11))


def test_a_reversed_pair_costs_more() -> None:
    better, worse = np.array([6.0, 5.0, 4.0]), np.array([5.0, 5.0, 5.0])
    right, tied, wrong = ops.convert_to_numpy(pairwise_logistic(better, worse, 1.0))
    assert right < tied < wrong
    assert tied == pytest.approx(np.log(2))


@given(st.floats(0.5, 0.999))
def test_the_margin_follows_how_certain_the_order_is(target: float) -> None:
    leads = np.linspace(-1, 3, 40001)
    costs = ops.convert_to_numpy(pairwise_logistic(leads, np.zeros_like(leads), target))
    assert leads[np.argmin(costs)] == pytest.approx(np.log(target / (1 - target)) / 4, abs=1e-2)


def test_a_gap_of_one_standard_error_is_right_with_84_in_100() -> None:
    gap, error = np.array([0.0, 1.0, 2.0, 5.0]), np.array([1.0, 1.0, 1.0, 0.0])
    probability = ops.convert_to_numpy(probability_of_order(gap, error))
    np.testing.assert_allclose(probability, [0.5, 0.8413, 0.9772, 1.0], atol=1e-4)


@given(
    arrays(np.float32, 8, elements=st.floats(1, 10, width=32)),
    arrays(np.float32, 8, elements=st.sampled_from([-1.0, 0.0, 1.0])),
    arrays(np.float32, 8, elements=st.sampled_from([-1.0, 0.25, 0.5, 1.0])),
)
def test_ladder_ranking_is_the_mean_over_ordered_pairs(
    means: npt.NDArray[Any], group: npt.NDArray[Any], severity: npt.NDArray[Any]
) -> None:
    losses = [
        np.logaddexp(0, -4.0 * (means[a] - means[b]))
        for a in range(8)
        for b in range(8)
        if group[a] >= 0 and group[a] == group[b] and severity[a] < severity[b]
    ]
    got = float(ops.convert_to_numpy(ladder_ranking(means, group, severity)))
    assert got == pytest.approx(np.mean(losses) if losses else 0.0, abs=1e-4)


@given(means, means, arrays(np.float32, 6, elements=st.sampled_from([0.0, 1.0])))
def test_contrastive_is_the_formula_and_blind_to_order(
    a: npt.NDArray[Any], b: npt.NDArray[Any], same: npt.NDArray[Any]
) -> None:
    distance = np.abs(a - b)
    expected = np.where(same == 1, distance**2, np.clip(1 - distance, 0, None) ** 2)
    losses = ops.convert_to_numpy(contrastive(a, b, same))
    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(losses, ops.convert_to_numpy(contrastive(b, a, same)))


@given(means, means, st.floats(0.1, 3.0))
def test_margin_ranking_is_the_formula(
    better: npt.NDArray[Any], worse: npt.NDArray[Any], margin: float
) -> None:
    losses = ops.convert_to_numpy(margin_ranking(better, worse, margin=margin))
    np.testing.assert_allclose(
        losses, np.clip(margin - better + worse, 0, None), rtol=1e-4, atol=1e-4
    )
    led = better - worse >= margin + 1e-4
    assert (losses[led] == 0).all(), "a lead of the margin costs nothing"
    swapped = ops.convert_to_numpy(margin_ranking(worse, better, margin=margin))
    assert (losses <= swapped)[better >= worse].all(), "the wrong order costs more"
