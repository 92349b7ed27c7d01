"""Agreement with labels, and the difference of two models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from siamese_nima.data import Sample
from siamese_nima.data.samples import ORIGINAL
from siamese_nima.evaluate.agreement import Metric, agreement, differences, within_noise
from siamese_nima.evaluate.metrics import spearman


def votes(rng: np.random.Generator, count: int) -> npt.NDArray[Any]:
    shares = rng.random((count, 10)) ** 3
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def labelled(truth: npt.NDArray[Any]) -> list[Sample]:
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
    for name in ("srcc", "plcc", "std_ratio", "plcc_std", "accuracy_at_5", "pairwise"):
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


def noisy(truth: npt.NDArray[Any], noise: float, seed: int) -> npt.NDArray[Any]:
    """Votes about the true means, moved by noise."""
    rng = np.random.default_rng(seed)
    means = truth @ np.arange(1, 11) + rng.normal(0, noise, len(truth))
    shares = np.exp(-((np.arange(1, 11) - means[:, None]) ** 2) / 4)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def test_means_that_spread_less_have_a_smaller_ratio() -> None:
    truth = votes(np.random.default_rng(0), 60)
    flat = 0.5 * truth + 0.5 * truth.mean(axis=0)
    metric = agreement(labelled(truth), flat, resamples=20)["std_ratio"]
    assert metric.value == pytest.approx(0.5)
    assert metric.low == pytest.approx(metric.high) == pytest.approx(0.5)


def test_a_difference_is_that_of_both_models_on_the_same_draws() -> None:
    truth = votes(np.random.default_rng(2), 80)
    samples = labelled(truth)
    first, second = noisy(truth, 0.3, seed=3), noisy(truth, 1.0, seed=4)
    both = [agreement(samples, each, resamples=50, seed=7) for each in (first, second)]
    apart = differences(*both)
    assert set(apart) == set(both[0])
    rng, score = np.random.default_rng(7), np.array([sample.score for sample in samples])
    means = [each @ np.arange(1, 11) for each in (first, second)]
    draws = []
    for _ in range(50):
        drawn = rng.integers(0, 80, 80)
        one, two = (spearman(score[drawn], each[drawn]) for each in means)
        draws.append(one - two)
    srcc = apart["srcc"]
    assert srcc.value == pytest.approx(spearman(score, means[0]) - spearman(score, means[1]))
    assert (srcc.low, srcc.high) == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])))
    assert srcc.count == 80


def test_a_clear_gain_is_no_noise() -> None:
    truth = votes(np.random.default_rng(5), 150)
    samples = labelled(truth)
    good = agreement(samples, noisy(truth, 0.1, seed=6))
    bad = agreement(samples, noisy(truth, 3.0, seed=8))
    for name in ("srcc", "plcc", "pairwise"):
        assert not within_noise(differences(good, bad)[name])
        assert not within_noise(differences(bad, good)[name])
        assert within_noise(differences(good, good)[name])


def test_models_that_are_equally_good_are_nearly_always_within_noise() -> None:
    verdicts = []
    for seed in range(20):
        truth = votes(np.random.default_rng(seed), 60)
        one, two = (
            agreement(labelled(truth), noisy(truth, 0.7, seed=100 + 2 * seed + side), resamples=100)
            for side in (0, 1)
        )
        assert one["srcc"].value != two["srcc"].value
        verdicts.append(within_noise(differences(one, two)["srcc"]))
    assert sum(verdicts) >= 17, "19 of 20 are to be expected"


def test_a_paired_interval_is_narrower_than_two() -> None:
    truth = votes(np.random.default_rng(9), 100)
    common = noisy(truth, 1.0, seed=10)
    first, second = (0.95 * common + 0.05 * noisy(truth, 1.0, seed=seed) for seed in (11, 12))
    one, two = (agreement(labelled(truth), each) for each in (first, second))
    paired = differences(one, two)["srcc"]
    unpaired = np.hypot(one["srcc"].high - one["srcc"].low, two["srcc"].high - two["srcc"].low)
    assert paired.high - paired.low < unpaired / 3


def test_what_has_no_value_is_null_and_within_noise() -> None:
    none = Metric(float("nan"), np.full(5, np.nan), 3)
    assert none.to_dict() == {"value": None, "low": None, "high": None, "count": 3}
    assert within_noise(none)
