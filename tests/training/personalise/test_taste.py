"""Tastes: the tilt of votes, and what is learnt from pairs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad

from siamese_nima.personalise import taste as module
from siamese_nima.personalise.taste import Floats, Pairs, fit, tilted

VOTES = np.arange(1, 11)
BLOCKS = (5, 40)


def photos(count: int, seed: int) -> tuple[Floats, Floats]:
    """Features, of which the default uses one, and the default's logits."""
    rng = np.random.default_rng(seed)
    features = rng.normal(3.0, 2.0, (count, sum(BLOCKS)))
    means = 5.5 + 0.4 * (features[:, 7] - 3.0)
    return features, -((VOTES - means[:, None]) ** 2) / 4


def liked(features: Floats) -> Floats:
    """A taste that the default knows nothing of."""
    return np.asarray(features[:, 2] - features[:, 3])


def pairs_of(wanted: Floats) -> Pairs:
    """Photos 0 and 1, 2 and 3, …, in the wanted order."""
    rows = np.arange(len(wanted)).reshape(-1, 2)
    first = wanted[rows[:, 0]] > wanted[rows[:, 1]]
    better, worse = np.where(first, rows.T, rows.T[::-1])
    ones = np.ones(len(rows))
    return Pairs(better, worse, ones, ones, np.arange(len(rows)))


def order(distributions: Floats, wanted: Floats) -> float:
    pairs = pairs_of(wanted)
    means = distributions @ VOTES
    return float((means[pairs.better] > means[pairs.worse]).mean())


def test_no_taste_is_the_default_and_more_of_it_a_higher_mean() -> None:
    _, logits = photos(20, 0)
    shares = np.exp(logits)
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(tilted(logits, np.zeros(20)), shares)
    means = [tilted(logits, np.full(20, value)) @ VOTES for value in (-30.0, -1.0, 0.0, 1.0, 30.0)]
    assert (np.diff(means, axis=0) > 0).all()
    assert np.min(means) >= 1
    assert np.max(means) <= 10


def test_a_taste_is_learnt_and_holds_for_other_photos() -> None:
    features, logits = photos(160, 1)
    taste = fit(features, BLOCKS, logits, pairs_of(liked(features)))
    others, their_logits = photos(400, 2)
    before = order(tilted(their_logits, np.zeros(400)), liked(others))
    after = order(tilted(their_logits, taste.of(others)), liked(others))
    assert before < 0.6
    assert after > 0.8
    assert abs(taste.of(features).mean()) < 1e-6


def test_judgements_by_chance_leave_the_default_nearly_as_it_is() -> None:
    """Held out, they are ordered no better; so the pull to the default is strong."""
    features, logits = photos(160, 3)
    by_chance = fit(features, BLOCKS, logits, pairs_of(np.random.default_rng(4).random(160)))
    true = fit(features, BLOCKS, logits, pairs_of(liked(features)))
    assert by_chance.of(features).std() < true.of(features).std() / 4


def test_a_feature_that_never_differs_says_nothing() -> None:
    features, logits = photos(80, 5)
    features[:, 4] = 7.0
    taste = fit(features, BLOCKS, logits, pairs_of(liked(features)))
    assert taste.weight[4] == 0
    assert np.isfinite(taste.weight).all()


@pytest.mark.parametrize("tie", [False, True])
def test_the_gradient(tie: bool) -> None:
    features, logits = photos(12, 6)
    inputs = features / 10
    pairs = pairs_of(liked(features))
    if tie:
        pairs.target[:] = 0.5
    point = np.random.default_rng(7).normal(size=inputs.shape[1])
    error = check_grad(
        lambda at: module._loss(at, inputs, logits, pairs, 1e-2)[0],
        lambda at: module._loss(at, inputs, logits, pairs, 1e-2)[1],
        point,
    )
    assert error < 1e-4
