"""FP16 inside a tower's graph, FP32 where it meets the world.

TensorRT builds strongly typed networks: a layer computes in the type that the graph gives it. So
the precision is decided here, in the ONNX file, and not by a flag of the builder.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from iq_tools.errors import GraphError, ScoresMovedError

_LARGEST: Final = float(np.finfo(np.float16).max)
# Ten probabilities and their moments cost nothing and lose the most.
_FP32_FROM: Final = "Softmax"


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Converts a tower's graph to FP16.

    Everything from the cast of the bytes to the logits becomes FP16; softmax, moments, mask and
    all inputs and outputs stay as they are.

    Args:
        model: A graph as `iq-tools onnx` writes it; left unchanged.

    Returns:
        The checked FP16 graph.

    Raises:
        GraphError: The graph has no softmax.
        ScoresMovedError: A weight is too large for FP16.
    """
    converted = onnx.ModelProto()
    converted.CopyFrom(model)
    graph = converted.graph
    body, tail = _split(graph)
    constants = {constant.name: constant for constant in graph.initializer}
    halves: dict[str, str] = {}
    for node in body:
        for index, name in enumerate(node.input):
            if name in constants and constants[name].data_type == TensorProto.FLOAT:
                if name not in halves:
                    half = _half(constants[name])
                    graph.initializer.append(half)
                    halves[name] = half.name
                node.input[index] = halves[name]
        if node.op_type == "Cast":
            for attribute in node.attribute:
                if attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                    attribute.i = TensorProto.FLOAT16
    nodes = body + _widened(tail, {output for node in body for output in node.output})
    used = {name for node in nodes for name in node.input}
    kept = [constant for constant in graph.initializer if constant.name in used]
    del graph.initializer[:], graph.value_info[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    onnx.checker.check_model(converted, full_check=True)
    return converted


def _split(graph: onnx.GraphProto) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
    """The nodes before the softmax, and it with all that follows from it."""
    body: list[onnx.NodeProto] = []
    tail: list[onnx.NodeProto] = []
    reached: set[str] = set()
    for node in graph.node:  # ONNX keeps nodes in topological order
        if node.op_type == _FP32_FROM or reached.intersection(node.input):
            tail.append(node)
            reached.update(node.output)
        else:
            body.append(node)
    if not tail:
        raise GraphError(
            f"the graph has no {_FP32_FROM}: this is no tower that `iq-tools onnx` wrote"
        )
    return body, tail


def _half(constant: onnx.TensorProto) -> onnx.TensorProto:
    values = numpy_helper.to_array(constant)
    largest = float(np.abs(values).max(initial=0.0))
    # Bounds such as the end of a Clip may be infinite; a weight may not become so.
    if np.isfinite(largest) and largest > _LARGEST:
        raise ScoresMovedError(
            f"the weight {constant.name} reaches {largest:.3g}; FP16 ends at {_LARGEST:g}. Serve "
            f"this tower in FP32"
        )
    return numpy_helper.from_array(values.astype(np.float16), f"{constant.name}_fp16")


def _widened(tail: list[onnx.NodeProto], halves: set[str]) -> list[onnx.NodeProto]:
    """The FP32 part with a cast wherever it reads a result of the FP16 part."""
    casts: dict[str, str] = {}
    nodes = []
    for node in tail:
        for index, name in enumerate(node.input):
            if name not in halves:
                continue
            if name not in casts:
                casts[name] = f"{name}_fp32"
                nodes.append(
                    helper.make_node(
                        "Cast", [name], [casts[name]], name=casts[name], to=TensorProto.FLOAT
                    )
                )
            node.input[index] = casts[name]
        nodes.append(node)
    return nodes
