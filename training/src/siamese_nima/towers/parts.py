"""Parts of a tower that share its layers and weights."""

from __future__ import annotations

import keras

from siamese_nima.errors import ConfigError


def tower_part(
    tower: keras.Model, *, after: str | None = None, through: str | None = None
) -> keras.Model:
    """A part of a tower, with the tower's own weights.

    Args:
        tower: A functional model.
        after: The part begins at this layer's output; None for the pixels. No connection may lead
            around it.
        through: Its last layer; None for the distribution.

    Returns:
        A model that shares the layers.

    Raises:
        ConfigError: There is no such layer.
    """
    names = [each.name for each in tower.layers]
    for layer in (after, through):
        if layer is not None and layer not in names:
            raise ConfigError(f"{tower.name} has no layer {layer!r}; it has {', '.join(names)}")
    return keras.Model(
        tower.get_layer(after).output if after else tower.input,
        tower.get_layer(through).output if through else tower.output,
    )


def judged_part(tower: keras.Model, head: str, *, after: str | None = None) -> keras.Model:
    """A part of a tower that also gives what its head sees.

    Args:
        tower: A functional model.
        head: The head's name.
        after: As of `tower_part`.

    Returns:
        A model from pixels, or the output of `after`, to distributions [N,10] and features [N,F].
    """
    inputs = tower.get_layer(after).output if after else tower.input
    return keras.Model(inputs, [tower.output, tower.get_layer(head).input])
