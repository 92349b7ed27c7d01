"""Moments of distributions, and the distribution of largest entropy that has given ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iq_serving.contract import VOTES
from siamese_nima.distribution import (
    largest_entropy,
    mean_opinion_score,
    standard_deviation,
)


@given(st.floats(1.01, 9.99), st.floats(0.55, 2.8))
def test_has_the_moments_asked_for_or_the_widest_single_peak(mean: float, std: float) -> None:
    (shares,) = largest_entropy(np.array([mean]), std)
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1)
    assert mean_opinion_score(shares) == pytest.approx(mean, abs=1e-6)
    assert standard_deviation(shares) <= std + 1e-6
    if standard_deviation(shares) < std - 1e-6:
        # As wide as one peak can be: neighbours' shares differ by one factor.
        ratios = shares[1:] / shares[:-1]
        np.testing.assert_allclose(ratios, ratios[0], rtol=1e-6)
    else:
        # Concave logarithm: one peak.
        logarithms = np.log(shares[shares > 1e-200])
        assert np.diff(logarithms, 2).max(initial=-1.0) < 1e-6


def test_no_other_distribution_of_these_moments_has_more_entropy() -> None:
    (shares,) = largest_entropy(np.array([6.2]), 1.4)
    # Every change that keeps sum, mean and deviation, a little of it in either direction.
    kept = np.stack([np.ones(10), np.asarray(VOTES), np.square(VOTES)])
    changes = np.linalg.svd(kept)[2][3:]
    entropy = -np.sum(shares * np.log(shares))
    for change in (*changes, *-changes):
        other = shares + 1e-5 * change
        if other.min() > 0:
            assert -np.sum(other * np.log(other)) < entropy


def test_moments_that_no_votes_have_are_refused() -> None:
    with pytest.raises(ValueError, match="inside 1…10"):
        largest_entropy(np.array([1.0]), 1.0)
    with pytest.raises(ValueError, match="0 or above"):
        largest_entropy(np.array([5.0]), -0.1)


def test_a_deviation_that_whole_votes_cannot_have_is_moved_to_one_that_they_can() -> None:
    narrow = largest_entropy(np.array([5.5, 5.0]), 0.0)
    np.testing.assert_allclose(mean_opinion_score(narrow), [5.5, 5.0], atol=1e-6)
    np.testing.assert_allclose(standard_deviation(narrow) ** 2, [0.30, 0.05], atol=1e-6)
    (widest,) = largest_entropy(np.array([5.5]), np.inf)
    np.testing.assert_allclose(widest, 0.1)
