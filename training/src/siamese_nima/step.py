"""One update of the part of a tower that learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import keras
import tensorflow as tf

from iq_serving.contract import VOTE_BINS
from siamese_nima.objective import Batch, LossWeights, batch_losses
from siamese_nima.replicas import Replicas
from siamese_nima.schedule import CLIP_NORM

# What TensorFlow's error says where the loss is NaN or infinite.
NOT_FINITE: Final = "the loss is not finite"

Step = Callable[..., dict[str, Any]]


def build_step(
    part: keras.Model,
    prepare: Callable[[Any], Any],
    inputs: tf.TensorSpec,
    optimizer: keras.optimizers.Optimizer,
    loss: LossWeights,
    pairing: str,
    replicas: Replicas,
) -> Step:
    """Compiles an update.

    Pairs are formed within the part of the batch that a copy has. Every loss is divided by the
    pairs, or photos, of all copies, so that gradients add up to those of one device.

    Args:
        part: What learns.
        prepare: From a batch of inputs to what `part` takes.
        inputs: Shape and dtype of a batch of inputs.
        optimizer: Built for `part`; it clips where there is one copy only.
        loss: Weights of the losses.
        pairing: A key of `pairs.PAIRINGS`.
        replicas: Who learns.

    Returns:
        A function of inputs [B,...] and the labels of `objective.Batch`, that returns `loss` and
        each loss by its name, scalars. It raises `tf.errors.InvalidArgumentError` that says
        `NOT_FINITE`, and changes no weight, where the loss is not finite.
    """

    def step(inputs: Any, score: Any, bucket: Any, group: Any, votes: Any) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            predicted = part(prepare(inputs), training=True)
            parts = batch_losses(
                predicted, Batch(score, bucket, group, votes), loss, pairing, replicas.total
            )
            minimised = optimizer.scale_loss(parts["loss"])
        variables = part.trainable_variables
        gradients = tape.gradient(minimised, variables)
        parts = {name: replicas.total(value) for name, value in parts.items()}
        finite = tf.debugging.Assert(tf.math.is_finite(parts["loss"]), [NOT_FINITE, parts["loss"]])
        if replicas.count > 1:
            # The optimizer would clip each copy's gradient, and then add them up.
            longest = optimizer.scale_loss(CLIP_NORM)
            gradients = [
                tf.clip_by_norm(each, longest) / replicas.count
                for each in replicas.total(gradients)
            ]
        # Weight decay, too, has to wait.
        with tf.control_dependencies([finite]):
            optimizer.apply(gradients, variables)
        return parts

    labels = [tf.TensorSpec([None], kind) for kind in (tf.float32, tf.int64, tf.int64)]
    votes = tf.TensorSpec([None, VOTE_BINS], tf.float32)
    compiled = replicas.graph(step, [inputs, *labels, votes])
    return lambda *batch: replicas.run(compiled, batch)
