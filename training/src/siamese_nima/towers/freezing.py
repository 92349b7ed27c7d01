"""Freezing: the layers of a tower that keep their weights."""

from __future__ import annotations

import keras

from siamese_nima.errors import ConfigError


def frozen_depth(tower: keras.Model, through: str) -> int:
    """Number of layers that `through` names.

    Args:
        tower: A tower.
        through: The last frozen layer's name, or a number of layers (`618` means
            `tower.layers[:618]`), or empty for none.

    Returns:
        The number of frozen layers, 0…len(tower.layers).

    Raises:
        ConfigError: The tower has no such layer, or fewer layers.
    """
    if not through:
        return 0
    names = [layer.name for layer in tower.layers]
    if through in names:
        return names.index(through) + 1
    if through.isdecimal() and int(through) <= len(names):
        return int(through)
    raise ConfigError(
        f"{tower.name} cannot be frozen through {through!r}: give a number up to {len(names)} "
        f"or one of its layers, {', '.join(names)}"
    )


def freeze(tower: keras.Model, depth: int) -> None:
    """Lets the layers above a depth learn.

    Batch normalisation there learns its scale and offset only, and keeps its statistics: Keras
    computes no batch statistics in a frozen layer, and a small set of photos gives worse ones than
    ImageNet's.

    Args:
        tower: A tower; `trainable` of its layers and of their variables is set.
        depth: Number of layers, from the pixels on, that keep their weights.
    """
    for index, layer in enumerate(tower.layers):
        learns = index >= depth
        normalises = isinstance(layer, keras.layers.BatchNormalization)
        layer.trainable = learns and not normalises
        if normalises:
            for variable in (layer.gamma, layer.beta):
                if variable is not None:
                    variable.trainable = learns
