"""Metrics against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.evaluate.metrics import (
    bootstrap,
    interval,
    mean_emd,
    pairwise_accuracy,
    std_ratio,
)

rows = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=20
)


@given(rows)
def test_pairwise_accuracy_is_the_share_of_pairs(rows: list[tuple[int, int, int]]) -> None:
    hits = [
        1.0 if a[1] > b[1] else 0.5 if a[1] == b[1] else 0.0
        for a in rows
        for b in rows
        if a[2] == b[2] and a[0] > b[0]
    ]
    score, mean, group = (np.array(column) for column in zip(*rows, strict=True))
    got = pairwise_accuracy(score.astype(float), mean.astype(float), group)
    assert math.isnan(got) if not hits else got == pytest.approx(np.mean(hits))


def test_emd_of_opposite_votes() -> None:
    ends = np.eye(10)[[0, 9]]
    assert mean_emd(ends, ends[::-1]) == pytest.approx(0.9)


def test_bootstrap_narrows_with_the_number_of_photos() -> None:
    values = np.random.default_rng(0).normal(size=2000)
    widths = []
    for count in (50, 2000):
        low, high = interval(
            bootstrap(lambda rows: float(values[rows].mean()), count, resamples=200, seed=0)
        )
        assert low < values[:count].mean() < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 3


def test_an_interval_leaves_out_what_has_no_value() -> None:
    assert interval(np.array([1.0, np.nan, 1.0])) == (1.0, 1.0)
    assert all(math.isnan(end) for end in interval(np.array([np.nan])))


def test_std_ratio() -> None:
    truth = np.array([1.0, 2.0, 6.0])
    assert std_ratio(truth, 5 + truth / 4) == pytest.approx(0.25)
    assert math.isnan(std_ratio(np.ones(3), truth))
