"""Layer names that do not depend on what else was built before in the same process.

Keras names an unnamed layer after its class and counts up for the life of the process:
`conv2d_17` of one build is `conv2d_220` of the next. Counted within the model, from 1, a name is
always the same, and the same as in the files that Keras 2 wrote from a fresh process, such as the
published NIMA weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import keras

# The kinds of unnamed layers that hold weights in the published files.
_COUNTED = re.compile(
    r"(conv2d|depthwise_conv2d|separable_conv2d|batch_normalization|dense)(?:_(\d+))?"
)


def count_from_one(model: keras.Model) -> keras.Model:
    """Renames a model's unnamed layers, counted within the model in the order of their creation.

    Args:
        model: A model just built, of flat layers; it is changed.

    Returns:
        The same model.
    """
    layers = {layer.name: layer for layer in model.layers}
    for old, new in _counted(layers, lambda name: _automatic(layers[name])).items():
        layers[old].name = new
    return model


def counted_from_one(names: Iterable[str]) -> dict[str, str]:
    """Names that `count_from_one` would have given the layers of a weight file.

    Args:
        names: Layer names as some process counted them.

    Returns:
        The new name of each; names that somebody chose stay as they are.
    """
    return _counted(names, _COUNTED.fullmatch)


def _counted(names: Iterable[str], match: Callable[[str], re.Match[str] | None]) -> dict[str, str]:
    """Shifts the numbers of each kind so that the smallest is 1.

    A shift, not a rank: where a file lacks a layer, the others keep their numbers and the error
    names the right one.
    """
    matches = {name: match(name) for name in names}
    first: dict[str, int] = {}
    for found in matches.values():
        if found:
            first[found[1]] = min(int(found[2] or 0), first.get(found[1], int(found[2] or 0)))
    return {
        name: f"{found[1]}_{int(found[2] or 0) - first[found[1]] + 1}" if found else name
        for name, found in matches.items()
    }


def _automatic(layer: keras.layers.Layer) -> re.Match[str] | None:
    """Matches a name that Keras made from the class: `BatchNormalization` → `..._7`."""
    words = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", type(layer).__name__)
    kind = re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
    return re.fullmatch(rf"({kind})(?:_(\d+))?", layer.name)
