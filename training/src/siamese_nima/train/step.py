"""One update of the part of a tower that learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import keras
import tensorflow as tf

from siamese_nima.train.batches import BATCH_SPEC
from siamese_nima.train.objective import Batch, Objective, batch_losses
from siamese_nima.train.replicas import Replicas
from siamese_nima.train.schedule import CLIP_NORM

# What TensorFlow's error says where the loss is NaN or infinite.
NOT_FINITE: Final = "the loss is not finite"

# From inputs and their labels to the losses.
Step = Callable[[Any, Batch], dict[str, Any]]


def build_step(
    part: keras.Model,
    prepare: Callable[[Any], Any],
    inputs: tf.TensorSpec,
    optimizer: keras.optimizers.Optimizer,
    objectives: Sequence[Objective],
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
        objectives: Losses of each set.
        replicas: Who learns.

    Returns:
        A function of inputs [B,...] and their labels that returns `loss` and each loss as
        `set_loss`, scalars. It raises `tf.errors.InvalidArgumentError` that says
        `NOT_FINITE`, and changes no weight, where the loss is not finite.
    """

    def step(inputs: Any, batch: Batch) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            predicted = part(prepare(inputs), training=True)
            parts = batch_losses(predicted, batch, objectives, replicas.total)
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

    compiled = replicas.graph(step, [inputs, BATCH_SPEC])
    return lambda inputs, batch: replicas.run(compiled, [inputs, batch])
