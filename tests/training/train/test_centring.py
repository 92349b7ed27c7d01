"""Centring of the head: predicted means become those of the labels, by the bias alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from siamese_nima.config import PhaseConfig
from siamese_nima.data import DataConfig
from siamese_nima.errors import ConfigError
from siamese_nima.train.centring import tilt
from siamese_nima.train.config import TrainConfig, checked
from siamese_nima.train.objective import LossWeights
from siamese_nima.train.run import train

Make = Callable[..., TrainConfig]

VOTES = np.arange(1, 11)


def test_a_tilt_gives_the_mean_that_is_asked_for() -> None:
    votes = np.random.default_rng(1).random((40, 10)).astype(np.float32) ** 3
    votes /= votes.sum(axis=1, keepdims=True)
    assert abs((votes @ VOTES).mean() - 7.5) > 1
    tilted = votes * np.exp(tilt(votes, 7.5) * VOTES)
    tilted /= tilted.sum(axis=1, keepdims=True)
    assert (tilted @ VOTES).mean() == pytest.approx(7.5, abs=1e-3)


def test_the_bias_alone_is_tilted_before_the_first_step(make: Make, labelled: Path) -> None:
    photos = DataConfig(
        "scores", labelled / "photos", labelled / "labels.csv", separator=" ",
        label_column="label", lowest=-9.0, highest=30.0,
    )  # fmt: skip
    still = PhaseConfig(epochs=1, learning_rate=0.0)
    none = PhaseConfig(epochs=0, learning_rate=0.0)
    found = {}
    for name, centre in (("plain", False), ("centred", True)):
        config = make(
            name, data=photos, loss=LossWeights(emd=1.0), centre=centre, head=still, body=none
        )
        train(config)
        found[name] = head(config)
    kernels, biases = zip(found["plain"], found["centred"], strict=True)
    np.testing.assert_array_equal(*kernels)
    steps = np.diff(biases[1] - biases[0])
    assert abs(steps.mean()) > 1e-3
    np.testing.assert_allclose(steps, steps.mean(), atol=1e-5)


def head(config: TrainConfig) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    with h5py.File(config.output / "last.weights.h5") as file:
        found: dict[str, npt.NDArray[np.float32]] = {}
        file.visititems(
            lambda name, item: (
                found.update({name: item[()]})
                if isinstance(item, h5py.Dataset) and "dense_1" in name
                else None
            )
        )
    bias, kernel = sorted(found.values(), key=lambda values: values.ndim)
    return kernel, bias


def test_without_votes_there_is_nothing_to_centre_by(make: Make) -> None:
    with pytest.raises(ConfigError, match="centre needs a set that learns votes"):
        checked(make("run", loss=LossWeights(logistic=1.0), centre=True))
