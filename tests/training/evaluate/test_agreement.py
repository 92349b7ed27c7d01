"""Metrics against their definitions."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.data import Sample
from siamese_nima.data.samples import ORIGINAL
from siamese_nima.evaluate.agreement import agreement
from siamese_nima.evaluate.metrics import bootstrap, mean_emd, pairwise_accuracy

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


def votes(rng: np.random.Generator, count: int) -> np.ndarray:
    shares = rng.random((count, 10)) ** 3
    return shares / shares.sum(axis=1, keepdims=True)


def labelled(truth: np.ndarray) -> list[Sample]:
    votes = np.arange(1, 11)
    means = truth @ votes
    stds = np.sqrt(((votes - means[:, None]) ** 2 * truth).sum(axis=1))
    return [
        Sample(Path(f"{index}.jpg"), float(mean), tuple(map(float, row)), float(std))
        for index, (row, mean, std) in enumerate(zip(truth, means, stds, strict=True))
    ]


def test_the_labels_themselves_are_perfect() -> None:
    truth = votes(np.random.default_rng(0), 60)
    metrics = agreement(labelled(truth), truth, resamples=20)
    for name in ("srcc", "lcc_mean", "lcc_std", "accuracy_at_5", "pairwise"):
        assert metrics[name].value == pytest.approx(1.0)
    assert metrics["emd"].value == pytest.approx(0.0)
    assert metrics["pairwise"].count == 60 * 59 / 2


def test_chance_is_inside_its_interval_and_gaps_add_up() -> None:
    rng = np.random.default_rng(1)
    metrics = agreement(labelled(votes(rng, 200)), votes(rng, 200), resamples=100)
    assert metrics["srcc"].low < 0 < metrics["srcc"].high
    assert metrics["pairwise"].low < 0.5 < metrics["pairwise"].high
    gaps = [metric for name, metric in metrics.items() if "gap" in name]
    assert sum(metric.count for metric in gaps) == metrics["pairwise"].count
    weighted = sum(metric.value * metric.count for metric in gaps)
    assert weighted / metrics["pairwise"].count == pytest.approx(metrics["pairwise"].value)


def test_ladders_are_judged_by_kind_and_never_across() -> None:
    samples = [
        Sample(
            Path(f"{photo}.jpg"),
            -float(level),
            group=f"{photo}{kind}",
            kind=kind if level else ORIGINAL,
        )
        for photo in range(5)
        for kind in ("blur", "noise")
        for level in range(3)
    ]
    falling = np.eye(10)[[9 + int(sample.score) for sample in samples]]
    metrics = agreement(samples, falling, resamples=10)
    assert "srcc" not in metrics
    assert metrics["pairwise"].count == 5 * 2 * 3
    assert metrics["pairwise blur"].count == metrics["pairwise noise"].count == 15
    assert metrics["pairwise blur"].value == 1.0
    assert metrics["pairwise gap 2"].count == 10


def test_emd_of_opposite_votes() -> None:
    ends = np.eye(10)[[0, 9]]
    assert mean_emd(ends, ends[::-1]) == pytest.approx(0.9)


def test_bootstrap_narrows_with_the_number_of_photos() -> None:
    values = np.random.default_rng(0).normal(size=2000)
    widths = []
    for count in (50, 2000):
        low, high = bootstrap(lambda rows: float(values[rows].mean()), count, resamples=200, seed=0)
        assert low < values[:count].mean() < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 3
