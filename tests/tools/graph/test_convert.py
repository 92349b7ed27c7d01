from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from iq_tools.errors import ScoresMovedError
from iq_tools.graph.convert import convert
from iq_tools.graph.runner import OnnxTower
from iq_tools.graph.saved_model import open_saved_model
from iq_tools.graph.tower import read_tower

Description = dict[str, Any]


def _tensors(values: object) -> dict[str, tuple[int, list[object]]]:
    return {
        value.name: (
            value.type.tensor_type.elem_type,
            [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
        )
        for value in values  # type: ignore[attr-defined]
    }


def test_tensors_are_those_of_the_contract(onnx_file: Path, description: Description) -> None:
    graph = onnx.load(onnx_file).graph
    uint8, fp32 = onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT
    assert _tensors(graph.input) == {
        "PIXELS": (uint8, ["batch", *description["image_size"], 3]),
        "MASK": (fp32, ["batch", 1]),
    }
    assert _tensors(graph.output) == {
        "DISTRIBUTION": (fp32, ["batch", 10]),
        "MEAN": (fp32, ["batch", 1]),
        "STD": (fp32, ["batch", 1]),
    }


def test_bytes_are_cast_first_and_there_is_one_transpose(onnx_file: Path) -> None:
    # TensorRT takes bytes as the input of a Cast only.
    graph = onnx.load(onnx_file).graph
    operators = [node.op_type for node in graph.node]
    assert operators[:2] == ["Cast", "Transpose"]
    assert list(graph.node[0].input) == ["PIXELS"]
    assert operators.count("Transpose") == 1


def test_batch_normalisation_is_folded_into_the_convolutions(onnx_file: Path) -> None:
    operators = [node.op_type for node in onnx.load(onnx_file).graph.node]
    assert operators[operators.index("Conv") :][:4] == ["Conv", "Clip", "Conv", "Clip"]


def test_opset_and_metadata(onnx_file: Path, description: Description) -> None:
    assert {(o.domain, o.version) for o in onnx.load(onnx_file).opset_import} == {("", 17)}
    tower = read_tower(onnx_file)
    assert json.loads(tower.text) == description
    assert (tower.name, tower.image_size) == ("tiny", tuple(description["image_size"]))


def test_scores_are_those_of_tensorflow_for_every_batch_size(
    saved_model: Path, onnx_file: Path
) -> None:
    exported = open_saved_model(saved_model)
    runner = OnnxTower(onnx_file, threads=1)
    generator = np.random.default_rng(7)
    for size in (1, 2, 5):
        pixels = generator.integers(0, 256, (size, *exported.tower.image_size, 3), dtype=np.uint8)
        expected, found = exported.score(pixels), runner.score(pixels)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, atol=1e-5, rtol=0)
        votes = np.arange(1, 11)
        np.testing.assert_allclose(found["DISTRIBUTION"].sum(1), 1, atol=1e-5)
        np.testing.assert_allclose(found["MEAN"][:, 0], found["DISTRIBUTION"] @ votes, atol=1e-4)


def test_refuses_a_graph_beyond_the_tolerance(saved_model: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.onnx"
    with pytest.raises(ScoresMovedError, match="was not written"):
        convert(saved_model, output, tolerance=-1.0)  # even an equal graph is beyond this
    assert list(tmp_path.iterdir()) == []
