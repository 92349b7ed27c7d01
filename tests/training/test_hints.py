"""Hints of a teacher, and models that are only run."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from siamese_nima.frozen import compile_frozen
from siamese_nima.hints import HINT_CHANNELS, hint_loss, hinted, hinting, last_feature_map
from siamese_nima.towers.parts import tower_part
from siamese_nima.towers.registry import build_tower, get_tower


@pytest.fixture(scope="module")
def pixels() -> npt.NDArray[Any]:
    return np.random.default_rng(0).uniform(-1, 1, (6, 64, 64, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def teacher() -> keras.Model:
    """Small, but of a tower's shape: a feature map, its average, a head."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((64, 64, 3))
    x = keras.layers.Conv2D(96, 16, 8, activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x))


def test_hints_are_the_feature_map_standardised(
    teacher: keras.Model, pixels: npt.NDArray[Any]
) -> None:
    distributions, hints = hinting(teacher, pixels).predict(pixels, verbose=0)
    assert np.allclose(distributions, teacher.predict(pixels, verbose=0), atol=1e-6)
    assert hints.shape == (6, 7, 7, HINT_CHANNELS)
    rows = hints.reshape(-1, HINT_CHANNELS)
    assert np.allclose(rows.mean(axis=0), 0, atol=1e-3)
    assert np.allclose(np.cov(rows, rowvar=False), np.eye(HINT_CHANNELS), atol=0.01)


def test_a_frozen_model_gives_what_keras_gives(
    teacher: keras.Model, pixels: npt.NDArray[Any]
) -> None:
    model = keras.Model(teacher.input, [teacher.output, last_feature_map(teacher)])
    expected = model.predict(pixels, verbose=0)
    for computed, wanted in zip(compile_frozen(model)(pixels), expected, strict=True):
        assert computed.shape == wanted.shape
        assert np.allclose(computed, wanted, atol=1e-4)


def test_a_student_learns_the_hints(pixels: npt.NDArray[Any]) -> None:
    keras.utils.set_random_seed(0)
    student = build_tower(get_tower("efficientnet_lite0"), image_size=(64, 64), dropout=0.0)
    (features,) = compile_frozen(tower_part(student, through="block14_out"))(pixels)
    model = hinted(student, "block14_out")
    before = student.get_layer("head_conv").get_weights()[0]
    targets = np.random.default_rng(1).normal(size=(6, 2, 2, HINT_CHANNELS)).astype(np.float32)
    votes = np.full((6, 10), 0.1, np.float32)
    model.compile("adam", loss=["mse", hint_loss])
    losses = model.fit(features, (votes, targets), epochs=8, verbose=0).history["hints_loss"]
    assert losses[-1] < losses[0]
    assert not np.allclose(before, student.get_layer("head_conv").get_weights()[0])


def test_the_loss_is_a_number_a_picture() -> None:
    target = np.zeros((3, 2, 2, HINT_CHANNELS), np.float32)
    predicted = np.stack([np.full((2, 2, HINT_CHANNELS), level, np.float32) for level in (0, 1, 2)])
    assert np.asarray(hint_loss(target, predicted)).tolist() == [0.0, 1.0, 4.0]
