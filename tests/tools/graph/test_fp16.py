from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper, shape_inference

from iq_tools.errors import GraphError, ScoresMovedError
from iq_tools.graph.fp16 import to_fp16
from iq_tools.graph.runner import OnnxTower


def test_inputs_and_outputs_stay_as_they_are(onnx_file: Path) -> None:
    model = onnx.load(onnx_file)
    half = to_fp16(model)
    assert list(half.graph.input) == list(model.graph.input)
    assert list(half.graph.output) == list(model.graph.output)


def test_the_body_is_fp16_and_the_moments_are_fp32(onnx_file: Path) -> None:
    graph = shape_inference.infer_shapes(to_fp16(onnx.load(onnx_file))).graph
    types = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    types |= {value.name: value.type.tensor_type.elem_type for value in graph.output}
    computed = [(node.op_type, types[node.output[0]]) for node in graph.node]
    halves = {kind for kind, datatype in computed if datatype == TensorProto.FLOAT16}
    assert {"Conv", "Clip", "MatMul", "Cast"} <= halves
    assert {kind for kind, datatype in computed if datatype == TensorProto.FLOAT} == {
        "Cast", "Softmax", "Mul", "ReduceSum", "Sub", "Pow", "Sqrt",
    }  # fmt: skip


def test_weights_take_half_the_room(onnx_file: Path) -> None:
    model = onnx.load(onnx_file)
    half = to_fp16(model)
    sizes = [
        sum(
            numpy_helper.to_array(constant).nbytes
            for constant in graph.initializer
            if len(constant.dims) > 1
        )
        for graph in (model.graph, half.graph)
    ]
    assert sizes[1] * 2 == sizes[0]


def test_scores_move_by_less_than_the_gate(onnx_file: Path, description: dict[str, Any]) -> None:
    model = onnx.load(onnx_file)
    shape = (4, *description["image_size"], 3)
    pixels = np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)
    full = OnnxTower(model.SerializeToString(), threads=1).score(pixels)
    half = OnnxTower(to_fp16(model).SerializeToString(), threads=1).score(pixels)
    assert 0 < np.abs(full["MEAN"] - half["MEAN"]).max() < 0.03
    np.testing.assert_allclose(half["DISTRIBUTION"].sum(1), 1, atol=1e-5)


def test_a_weight_beyond_fp16_is_refused(onnx_file: Path) -> None:
    model = onnx.load(onnx_file)
    name = next(node for node in model.graph.node if node.op_type == "Conv").input[1]
    for constant in model.graph.initializer:
        if constant.name == name:
            values = numpy_helper.to_array(constant).copy()
            values.flat[0] = 7e4
            constant.CopyFrom(numpy_helper.from_array(values, name))
    with pytest.raises(ScoresMovedError, match="Serve this tower in FP32"):
        to_fp16(model)


def test_a_graph_without_softmax_is_refused() -> None:
    model = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
    with pytest.raises(GraphError, match="Softmax"):
        to_fp16(model)
