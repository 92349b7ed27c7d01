"""A tower as a SavedModel: uint8 pixels in, distribution and moments out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import keras
import tensorflow as tf

from iq_serving.contract import DISTRIBUTION, MEAN, PIXELS, STD, TOWER_FILE, VOTES
from iq_serving.preprocessing import PREPROCESSING_VERSION
from siamese_nima.files import write_atomically
from siamese_nima.towers.registry import Tower

SIGNATURE: Final = "serving_default"
TOWER_JSON: Final = f"assets.extra/{TOWER_FILE}"


class ServedTower(tf.Module):  # type: ignore[misc]
    """The graph that is served: normalisation, tower, moments."""

    def __init__(self, tower: Tower, model: keras.Model) -> None:
        super().__init__(name=tower.name)
        self._tower = tower
        self._model = model

    def __call__(self, pixels: Any) -> dict[str, Any]:
        """Scores pixels.

        Args:
            pixels: uint8 [N,H,W,3].

        Returns:
            `DISTRIBUTION` [N,10], `MEAN` [N,1] and `STD` [N,1], float32.
        """
        distribution = self._model(
            self._tower.normalise(tf.cast(pixels, tf.float32)), training=False
        )
        votes = tf.constant([VOTES])
        mean = tf.reduce_sum(distribution * votes, axis=1, keepdims=True)
        variance = tf.reduce_sum(tf.square(votes - mean) * distribution, axis=1, keepdims=True)
        return {DISTRIBUTION: distribution, MEAN: mean, STD: tf.sqrt(variance)}


def export_saved_model(
    tower: Tower,
    model: keras.Model,
    output: Path,
    *,
    interpolation: str,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Writes a SavedModel with one signature and a dynamic batch.

    Args:
        tower: What the model is.
        model: With its weights, on Keras' TensorFlow backend.
        output: Folder to write; it appears complete or not at all, and replaces one of before.
        interpolation: The server's way to resize for it, a key of
            `preprocessing.INTERPOLATIONS`.
        facts: Further keys of the `tower.json`, such as `version` and `licence`.

    Raises:
        RuntimeError: Keras runs on another backend.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError("a SavedModel needs KERAS_BACKEND=tensorflow")
    height, width = model.input_shape[1:3]
    served = ServedTower(tower, model)
    graph = tf.function(
        served.__call__,
        input_signature=[tf.TensorSpec([None, height, width, 3], tf.uint8, name=PIXELS)],
    )
    described = {
        "tower": tower.name,
        "image_size": [height, width],
        "interpolation": interpolation,
        "preprocessing_version": PREPROCESSING_VERSION,
        **facts,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(output) as folder:
        tf.saved_model.save(served, str(folder), signatures={SIGNATURE: graph})
        description = folder / TOWER_JSON
        description.parent.mkdir(exist_ok=True)
        description.write_text(json.dumps(described, indent=2) + "\n")
