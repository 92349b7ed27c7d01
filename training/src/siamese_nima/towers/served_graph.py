"""Served graphs as weight files: a tower's weights, read from its ONNX graph.

In the graph every batch normalisation is folded into the convolution below it. Read back, it leaves
that convolution's output as it is but for the bias, so that the tower computes what the graph does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from siamese_nima.errors import WeightsError
from siamese_nima.towers.graph_files import read_graph

Floats = npt.NDArray[np.float32]

# Axes of a kernel in Keras in the order that ONNX has them.
_AXES: Final[dict[type[keras.layers.Layer], tuple[int, ...]]] = {
    keras.layers.DepthwiseConv2D: (2, 3, 0, 1),
    keras.layers.Conv2D: (3, 2, 0, 1),
    keras.layers.Dense: (0, 1),
}
_WEIGHTED: Final = ("Conv", "Gemm", "MatMul")
_COUNTED: Final = re.compile(r"_\d+$")


def load_graph(model: keras.Model, path: Path) -> None:
    """Loads a graph's weights into a tower, all of them or nothing.

    Args:
        model: The tower that the graph was made of.
        path: The graph.

    Raises:
        WeightsError: It cannot be read, or is of another tower.
    """
    graph = read_graph(path)
    values = {each.name: each for each in graph.graph.initializer}
    loaded = []
    for link in _links(model, graph, path):
        kernel, bias = (numpy_helper.to_array(values[name]) for name in (link.kernel, link.bias))
        kernel = np.transpose(kernel, np.argsort(link.axes))
        if kernel.shape != tuple(link.layer.kernel.shape):
            raise WeightsError(
                f"{path} does not fit {model.name}: {link.layer.name} is {kernel.shape} in the "
                f"graph, {tuple(link.layer.kernel.shape)} in the tower"
            )
        loaded.append((link, kernel, bias))
    for link, kernel, bias in loaded:
        if link.normalisation is None:
            link.layer.set_weights([kernel, bias])
            continue
        link.layer.set_weights([kernel])
        unit, none = np.ones_like(bias), np.zeros_like(bias)
        link.normalisation.set_weights([unit, bias, none, unit - link.normalisation.epsilon])


@dataclass(frozen=True, slots=True)
class _Link:
    """A layer with a kernel, the normalisation above it, and their constants in the graph."""

    layer: keras.layers.Layer
    normalisation: keras.layers.BatchNormalization | None
    kernel: str
    bias: str
    axes: tuple[int, ...]


def _links(model: keras.Model, graph: onnx.ModelProto, path: Path) -> list[_Link]:
    """Every layer with weights and its constants, found by the layers' names in the graph's."""
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    constants = {each.name for each in graph.graph.initializer}
    links = []
    for node in graph.graph.node:
        if node.op_type not in _WEIGHTED or len(node.input) != 3:
            continue
        named = [layers[name] for name in _layers_named(node, layers)]
        kernels = [each for each in named if isinstance(each, tuple(_AXES))]
        norms = [each for each in named if isinstance(each, keras.layers.BatchNormalization)]
        _, kernel, bias = node.input
        if len(kernels) != 1 or len(norms) > 1 or not {kernel, bias} <= constants:
            raise WeightsError(
                f"{path} does not fit {model.name}: what belongs to {node.name} cannot be told"
            )
        (layer,) = kernels
        axes = next(axes for kind, axes in _AXES.items() if isinstance(layer, kind))
        if any(each.name == "transB" and each.i for each in node.attribute):
            axes = axes[::-1]
        links.append(_Link(layer, norms[0] if norms else None, kernel, bias, axes))
    found = [
        each.name for link in links for each in (link.layer, link.normalisation) if each is not None
    ]
    if missing := sorted(layers.keys() - set(found)):
        raise WeightsError(f"{path} does not fit {model.name}: it lacks {', '.join(missing[:5])}")
    if len(found) > len(layers):
        raise WeightsError(f"{path} does not fit {model.name}: it has a layer more than once")
    return links


def _layers_named(node: onnx.NodeProto, layers: dict[str, Any]) -> list[str]:
    """Layers whose names stand in a node's own name and those of its constants and output.

    Exported from a process that had built the name before, a layer is counted up: `conv1_1`.
    """

    def names() -> Iterator[str]:
        for text in (node.name, *node.input[1:], *node.output):
            for part in text.split("/"):
                for name in (part, _COUNTED.sub("", part)):
                    if name in layers:
                        yield name
                        break

    return list(dict.fromkeys(names()))
