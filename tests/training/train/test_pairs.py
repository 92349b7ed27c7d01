"""Who meets whom, and what the losses of a batch are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from siamese_nima.train.objective import Batch, LossWeights, batch_losses
from siamese_nima.train.pairs import buckets, compared, draw_all, draw_bucketed

labels = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2)), min_size=1, max_size=30).map(
    lambda rows: np.array(rows, np.int64)
)


@given(labels, st.integers(0, 2**32))
def test_every_photo_meets_its_own_and_another_bucket(rows: np.ndarray, seed: int) -> None:
    bucket, group = rows.T
    drawn = draw_bucketed(bucket, group, np.random.default_rng(seed)).reshape(-1, 2)
    a, b = drawn.T
    assert (a != b).all()
    assert (group[a] == group[b]).all()
    expected = 0
    for index in range(len(rows)):
        meets = (drawn == index).any(axis=1)
        partners = drawn[meets].sum(axis=1) - index
        others = np.flatnonzero((group == group[index]) & (np.arange(len(rows)) != index))
        alike = bucket[others] == bucket[index]
        assert alike.any() == (bucket[partners] == bucket[index]).any()
        assert (~alike).any() == (bucket[partners] != bucket[index]).any()
        expected += int(alike.any()) + int((~alike).any())
    assert len(drawn) == expected


def test_pairs_are_redrawn_and_repeatable() -> None:
    bucket, group = np.arange(40) // 10, np.zeros(40, np.int64)
    first, again, other = (
        draw_bucketed(bucket, group, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@given(labels, st.integers(0, 2**32))
def test_an_epoch_of_all_holds_every_photo_once_and_keeps_groups_together(
    rows: np.ndarray, seed: int
) -> None:
    group = rows[:, 1]
    order = draw_all(group, np.random.default_rng(seed))
    assert sorted(order) == list(range(len(rows)))
    assert (np.diff(group[order]) != 0).sum() == len(np.unique(group)) - 1


def test_buckets_of_means() -> None:
    assert buckets(np.array([-0.5, 0.0, 4.99, 5.0]), 1.0).tolist() == [-1, 0, 4, 5]


def test_compared_pairs() -> None:
    group = np.array([0, 0, 0, 1], np.int64)
    everything = ops.convert_to_numpy(compared(group, "all"))
    assert np.argwhere(everything).tolist() == [[0, 1], [0, 2], [1, 2]]
    assert np.argwhere(ops.convert_to_numpy(compared(group, "bucketed"))).tolist() == [[0, 1]]


def one_vote(means: list[int]) -> np.ndarray:
    return np.eye(10, dtype=np.float32)[np.array(means) - 1]


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(1, 10), st.integers(1, 9)), min_size=2, max_size=8))
def test_losses_of_a_batch_are_means_over_its_pairs(rows: list[tuple[int, int]]) -> None:
    means, scores = [r[0] for r in rows], np.array([r[1] for r in rows], np.float32)
    bucket = scores.astype(np.int64) // 3
    batch = Batch(scores, bucket, np.zeros(len(rows), np.int64), one_vote([r[1] for r in rows]))
    weights = LossWeights(emd=2.0, contrastive=0.5, logistic=1.0, margin=3.0)
    got = {
        name: float(ops.convert_to_numpy(value))
        for name, value in batch_losses(one_vote(means), batch, weights, "all").items()
    }
    contrastive, logistic, margin = [], [], []
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            gap = abs(means[i] - means[j])
            same = bucket[i] == bucket[j]
            contrastive.append(gap**2 if same else max(0, 1 - gap) ** 2)
            if scores[i] != scores[j]:
                lead = (means[i] - means[j]) * (1 if scores[i] > scores[j] else -1)
                logistic.append(np.logaddexp(0, -4.0 * lead))
                margin.append(max(0, 1 - lead))
    emd = np.mean([np.sqrt(abs(m - s) / 10) for m, s in zip(means, scores, strict=True)])
    expected = {
        "emd": emd,
        "contrastive": np.mean(contrastive),
        "logistic": np.mean(logistic) if logistic else 0,
        "margin": np.mean(margin) if margin else 0,
    }
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, rel=1e-4, abs=1e-4)
    total = sum(getattr(weights, name) * value for name, value in expected.items())
    assert got["loss"] == pytest.approx(total, rel=1e-4, abs=1e-3)


def test_unknown_votes_and_small_gaps_do_not_count() -> None:
    votes = one_vote([5, 5])
    votes[1] = 0
    batch = Batch(np.float32([5, 5.4]), np.int64([5, 5]), np.int64([0, 0]), votes)
    parts = batch_losses(
        one_vote([5, 9]), batch, LossWeights(emd=1.0, logistic=1.0, min_gap=0.5), "all"
    )
    assert float(ops.convert_to_numpy(parts["emd"])) == pytest.approx(0, abs=1e-5)
    assert float(ops.convert_to_numpy(parts["logistic"])) == 0
