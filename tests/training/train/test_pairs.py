"""Pairs that are drawn, and the losses of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from siamese_nima.train.pairs import buckets, compared, draw_all, draw_bucketed

labels = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2)), min_size=1, max_size=30).map(
    lambda rows: np.array(rows, np.int64)
)


@given(labels, st.integers(0, 2**32))
def test_every_photo_meets_its_own_and_another_bucket(rows: npt.NDArray[Any], seed: int) -> None:
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
    rows: npt.NDArray[Any], seed: int
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


def test_up_to_so_many_of_a_group_are_drawn() -> None:
    group = np.repeat(np.arange(5), [1, 2, 3, 4, 9])
    rng = np.random.default_rng(0)
    drawn = draw_all(group, rng, most=3)
    assert np.bincount(group[drawn]).tolist() == [1, 2, 3, 3, 3]
    assert len(set(drawn.tolist())) == len(drawn)
    # Those of a group stand together, and which ones they are changes.
    assert (np.diff(np.flatnonzero(np.diff(group[drawn]))) >= 1).sum() == 3
    others = draw_all(group, rng, most=3)
    assert set(drawn[group[drawn] == 4].tolist()) != set(others[group[others] == 4].tolist())
