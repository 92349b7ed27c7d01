"""One update: in half precision, of several batches together, and of none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from siamese_nima.config import PhaseConfig
from siamese_nima.towers.parts import judged_part
from siamese_nima.towers.registry import HEAD_LAYER, Tower, build_tower
from siamese_nima.towers.weights import read_weights
from siamese_nima.train.config import TrainConfig
from siamese_nima.train.feeds import pixel_learner
from siamese_nima.train.objective import Batch, LossWeights, Objective
from siamese_nima.train.precision import precision, scaled
from siamese_nima.train.replicas import open_replicas
from siamese_nima.train.run import train
from siamese_nima.train.schedule import adamw
from siamese_nima.train.step import NOT_FINITE, build_step

Make = Callable[..., TrainConfig]
Labelled = tuple[npt.NDArray[Any], Batch]
CONSTANT = PhaseConfig(epochs=1, learning_rate=1e-2, warmup_share=0.0)
LONG = 10**6  # steps: the rate of the first ones is the peak


@pytest.fixture
def batch() -> Labelled:
    """Pixels of eight photos, the brighter the better, and their labels."""
    rng = np.random.default_rng(7)
    score = np.arange(8, dtype=np.float32)[rng.permutation(8)]
    pixels = (score[:, None, None, None] * 30 + rng.integers(0, 9, (8, 16, 16, 3))).astype(np.uint8)
    none, ones = np.zeros(8, np.int64), np.ones(8, np.float32)
    votes = np.zeros((8, 10), np.float32)
    return pixels, Batch(none, score, 0 * ones, score.astype(np.int64), none, votes, ones)


def tensors(batch: Labelled) -> Any:
    return tf.nest.map_structure(tf.constant, batch)


def updated(
    tower: Tower,
    batches: list[Labelled],
    *,
    policy: str = "float32",
    accumulate: int = 1,
    loss: LossWeights | None = None,
) -> tuple[keras.Model, list[float]]:
    """A tower after an update for each batch, and the losses."""
    keras.utils.set_random_seed(1)
    with precision(policy):
        model = build_tower(tower)
    learner = pixel_learner(tower, model)
    optimizer = scaled(adamw(CONSTANT, LONG, accumulate=accumulate), policy)
    optimizer.build(model.trainable_variables)
    step = build_step(
        model,
        learner.prepare,
        learner.inputs,
        optimizer,
        [Objective("set", loss or LossWeights(contrastive=1.0), "bucketed")],
        open_replicas("none"),
    )
    return model, [float(step(*tensors(batch))["loss"]) for batch in batches]


def test_two_half_batches_are_one_batch(tiny: Tower, batch: Labelled) -> None:
    halves = [
        tf.nest.map_structure(lambda each, part=part: each[part], batch)
        for part in (slice(None, 4), slice(4, None))
    ]
    one, losses = updated(tiny, [batch])
    two, parts = updated(tiny, halves, accumulate=2)
    still, _ = updated(tiny, halves[:1], accumulate=2)
    start, _ = updated(tiny, [])
    assert np.mean(parts) == pytest.approx(losses[0], rel=1e-5)
    for a, b, c, d in zip(
        one.get_weights(), two.get_weights(), still.get_weights(), start.get_weights(), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-5)
        np.testing.assert_array_equal(c, d, "half of an update is none")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_learns_what_single_learns(
    tiny: Tower, batch: Labelled, policy: str
) -> None:
    loss = LossWeights(logistic=1.0)
    model, losses = updated(tiny, [batch] * 20, policy=policy, loss=loss)
    _, expected = updated(tiny, [batch] * 20, loss=loss)
    assert model.get_layer("high").compute_dtype == policy.removeprefix("mixed_")
    assert losses == pytest.approx(expected, abs=0.02)
    assert losses[-1] < losses[0] - 0.05
    learner = pixel_learner(tiny, model)
    predict = learner.predictor(judged_part(model, HEAD_LAYER))
    distribution = predict(tf.constant(batch[0]))[0].numpy()
    assert distribution.dtype == np.float32
    # Rounded to 8 or 11 bits, ten shares miss 1 by more.
    np.testing.assert_allclose(distribution.sum(axis=1), 1.0, atol=1e-6)
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype(np.float32)}
    assert keras.config.dtype_policy().name == "float32", "what is built next is not concerned"


def test_float16_scales_the_loss_and_skips_what_overflows() -> None:
    weight = keras.Variable(np.ones(1, np.float32))
    optimizer = scaled(adamw(CONSTANT, LONG), "mixed_float16")
    optimizer.build([weight])
    before = float(optimizer.scale_loss(1.0))
    assert before > 1000
    optimizer.apply([np.full(1, np.inf, np.float32)], [weight])
    assert weight.numpy() == 1.0
    assert float(optimizer.scale_loss(1.0)) == before / 2
    optimizer.apply([np.full(1, before, np.float32)], [weight])
    assert weight.numpy() < 1.0


def test_a_loss_that_is_not_finite_changes_nothing(tiny: Tower, batch: Labelled) -> None:
    model, _ = updated(tiny, [])
    endless = LossWeights(logistic=float("inf"))
    with pytest.raises(tf.errors.InvalidArgumentError, match=NOT_FINITE):
        updated(tiny, [batch], loss=endless)
    learner = pixel_learner(tiny, model)
    optimizer = adamw(CONSTANT, LONG)
    optimizer.build(model.trainable_variables)
    step = build_step(
        model,
        learner.prepare,
        learner.inputs,
        optimizer,
        [Objective("set", endless, "bucketed")],
        open_replicas("none"),
    )
    before = model.get_weights()
    with pytest.raises(tf.errors.InvalidArgumentError, match=NOT_FINITE):
        step(*tensors(batch))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(optimizer.iterations) == 0


def test_a_run_in_half_precision_leaves_weights_as_any_other(make: Make) -> None:
    config = make("half", precision="mixed_bfloat16", cache_features=True)
    position = train(config)
    assert len(position.log) == 3
    arrays = read_weights(config.output / "last.weights.h5")
    assert all(each.dtype == np.float32 for values in arrays.values() for each in values)
