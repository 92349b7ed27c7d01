"""The served graph as it is looked into for a taste, and with a taste in it.

A taste reads the averages of the activations at every depth: of each height and width that the
tower computes at, the last. What pleases one person may be as low as colour, of which the last
layers of a tower that learnt quality know nothing any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from iq_serving.contract import MASK, PIXELS
from siamese_nima.errors import ConfigError, WeightsError
from siamese_nima.personalise.taste import TILT, Taste

Floats = npt.NDArray[np.floating[Any]]

_ACTIVATIONS: Final = ("Clip", "Relu")
_NAME: Final = "taste"


@dataclass(frozen=True, slots=True)
class Depths:
    """Activations of a graph that a taste reads, and where it takes effect.

    Attributes:
        tensors: Names of the activations, from the pixels on.
        channels: Their numbers of channels.
        logits: Name of the tensor that becomes the distribution of votes.
    """

    tensors: tuple[str, ...]
    channels: tuple[int, ...]
    logits: str


def find_depths(model: onnx.ModelProto) -> Depths:
    """Finds the activations that a taste reads.

    Args:
        model: A served graph.

    Raises:
        WeightsError: It has no activations of known size, or not one softmax at its end.
    """
    graph = shape_inference.infer_shapes(model).graph
    sizes = {
        value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in graph.value_info
    }
    last: dict[tuple[int, int], str] = {}
    for node in graph.node:
        if node.op_type in _ACTIVATIONS and len(size := sizes.get(node.output[0], [])) == 4:
            last[size[2], size[3]] = node.output[0]
    softmax = [node for node in graph.node if node.op_type == "Softmax"]
    if not last or len(softmax) != 1:
        raise WeightsError(
            f"the graph {graph.name} has {len(last)} activations and {len(softmax)} softmax: a "
            "taste needs some and one"
        )
    tensors = tuple(last.values())
    return Depths(tensors, tuple(sizes[name][1] for name in tensors), softmax[0].input[0])


class Looker:
    """Computes what a taste reads of batches of pixels."""

    def __init__(self, model: onnx.ModelProto, depths: Depths) -> None:
        """Loads the graph with the averages as outputs.

        Args:
            model: A served graph.
            depths: See `find_depths`.

        Raises:
            ConfigError: ONNX Runtime is not installed.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise ConfigError("a taste needs: pip install 'siamese-nima[onnx]'") from error
        opened = onnx.ModelProto()
        opened.CopyFrom(model)
        features = _read_depths(opened, depths, _NAME)
        for name in (features, depths.logits):
            opened.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        self._outputs = [features, depths.logits]
        self._session = onnxruntime.InferenceSession(
            opened.SerializeToString(), providers=["CPUExecutionProvider"]
        )

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Averages of the activations [N,D] and the logits [N,10] of pixels [N,H,W,3]."""
        feed = {PIXELS: pixels, MASK: np.ones((len(pixels), 1), np.float32)}
        features, logits = self._session.run(self._outputs, feed)
        return np.asarray(features, np.float64), np.asarray(logits, np.float64)


def with_taste(model: onnx.ModelProto, depths: Depths, taste: Taste) -> onnx.ModelProto:
    """A graph whose votes are tilted by a taste.

    Args:
        model: A served graph; a taste that it has already stays, and this one comes on top.
        depths: See `find_depths`.
        taste: Learnt from what `Looker` computes of this graph.

    Returns:
        A new graph with the same inputs and outputs.
    """
    tasting = onnx.ModelProto()
    tasting.CopyFrom(model)
    graph = tasting.graph
    earlier = {name.partition(".")[0] for node in graph.node for name in node.output}
    prefix = next(
        name for index in range(len(earlier) + 1) if (name := f"{_NAME}{index}") not in earlier
    )
    features = _read_depths(tasting, depths, prefix)

    def constant(name: str, values: Any) -> str:
        array = np.asarray(values, np.float32)
        graph.initializer.append(numpy_helper.from_array(array, f"{prefix}.{name}"))
        return f"{prefix}.{name}"

    weight = constant("weight", taste.weight[:, None])
    bias = constant("bias", [taste.bias])
    tilt = constant("votes", TILT[None, :])
    logits = f"{prefix}.logits"
    (softmax,) = (node for node in graph.node if node.op_type == "Softmax")
    softmax.input[0] = logits
    _insert_before(
        graph,
        softmax,
        helper.make_node("Gemm", [features, weight, bias], [f"{prefix}.value"], f"{prefix}.value"),
        helper.make_node("Mul", [f"{prefix}.value", tilt], [f"{prefix}.tilt"], f"{prefix}.tilt"),
        helper.make_node("Add", [depths.logits, f"{prefix}.tilt"], [logits], logits),
    )
    onnx.checker.check_model(tasting, full_check=True)
    return tasting


def _read_depths(model: onnx.ModelProto, depths: Depths, prefix: str) -> str:
    """Adds the averages of the activations to a graph, before its softmax; returns their name."""
    (softmax,) = (node for node in model.graph.node if node.op_type == "Softmax")
    pooled = [f"{prefix}.depth{index}" for index in range(len(depths.tensors))]
    features = f"{prefix}.features"
    _insert_before(
        model.graph,
        softmax,
        *(
            helper.make_node("GlobalAveragePool", [tensor], [name], name)
            for tensor, name in zip(depths.tensors, pooled, strict=True)
        ),
        helper.make_node("Concat", pooled, [f"{prefix}.all"], f"{prefix}.all", axis=1),
        helper.make_node("Flatten", [f"{prefix}.all"], [features], features, axis=1),
    )
    return features


def _insert_before(graph: onnx.GraphProto, node: onnx.NodeProto, *added: onnx.NodeProto) -> None:
    """Inserts nodes where all that comes before `node` is known."""
    place = list(graph.node).index(node)
    for offset, each in enumerate(added):
        graph.node.insert(place + offset, each)
