"""Hints: a student learns not only what a teacher answers but what it saw where (FitNets).

Ten votes a picture are little to learn from. The teacher's last feature map says at every place of
the picture what led to them. The student predicts it from its own last feature map by one linear
layer, which is thrown away after training (Romero et al. 2015, section 2.2).
"""

from __future__ import annotations

from typing import Final

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

# Directions of the teacher's features that are kept: those of largest variance.
HINT_CHANNELS: Final = 64


def last_feature_map(tower: keras.Model) -> keras.KerasTensor:
    """What a tower averages over the picture before its head.

    Args:
        tower: Of the registry.

    Returns:
        The tensor [N,h,w,c].
    """
    pool = next(
        each for each in reversed(tower.layers) if isinstance(each, layers.GlobalAveragePooling2D)
    )
    return pool.input


def hinting(teacher: keras.Model, pixels: npt.NDArray[np.float32]) -> keras.Model:
    """A teacher that gives hints besides its distributions.

    Args:
        teacher: From normalised pixels to distributions.
        pixels: Some normalised pixels [N,H,W,3], to find the directions of its features with.

    Returns:
        A model from pixels to distributions [N,10] and to hints [N,h,w,`HINT_CHANNELS`]: the
        feature map along its principal directions, over these pixels of mean 0 and variance 1.
    """
    feature_map = last_feature_map(teacher)
    seen = np.asarray(keras.Model(teacher.input, feature_map).predict(pixels, verbose=0))
    rows = seen.reshape(-1, seen.shape[-1]).astype(np.float64)
    mean = rows.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(rows - mean, rowvar=False))
    largest = np.argsort(variances)[::-1][:HINT_CHANNELS]
    whitening = directions[:, largest] / np.sqrt(variances[largest] + 1e-9)
    project = layers.Conv2D(HINT_CHANNELS, 1, trainable=False, name="hints")
    hints = project(feature_map)
    project.set_weights([whitening[None, None], -mean @ whitening])
    return keras.Model(teacher.input, [teacher.output, hints])


def hinted(student: keras.Model, after: str) -> keras.Model:
    """What learns of a student, with a new layer that predicts hints.

    Args:
        student: From normalised pixels to distributions.
        after: The layer at whose output the learning part begins.

    Returns:
        A model from that layer's features to distributions and hints; it shares the student's
        layers.
    """
    hints = layers.Conv2D(HINT_CHANNELS, 1, name="hints")(last_feature_map(student))
    return keras.Model(student.get_layer(after).output, [student.output, hints])


def hint_loss(target: object, predicted: object) -> object:
    """Mean squared error of the hints, one number a picture.

    Args:
        target: [N,h,w,`HINT_CHANNELS`].
        predicted: The same.

    Returns:
        [N]; 1 is what predicting the mean everywhere would cost.
    """
    return ops.mean(ops.square(ops.subtract(target, predicted)), axis=(1, 2, 3))
