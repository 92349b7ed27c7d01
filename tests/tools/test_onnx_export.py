from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from iq_tools.cli import main
from iq_tools.contract import ContractError
from iq_tools.graph.convert import convert, read_tower
from iq_tools.graph.runner import OnnxTower
from iq_tools.graph.saved_model import open_saved_model

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


def test_mask_turns_one_image_into_nan_and_leaves_its_neighbours(
    onnx_file: Path, description: Description
) -> None:
    runner = OnnxTower(onnx_file, threads=1)
    shape = (3, *description["image_size"], 3)
    pixels = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    whole = runner.score(pixels)
    masked = runner.score(pixels, np.array([[1], [np.nan], [1]], np.float32))
    for name, values in masked.items():
        assert np.isnan(values[1]).all()
        np.testing.assert_array_equal(values[[0, 2]], whole[name][[0, 2]])


def test_refuses_a_graph_beyond_the_tolerance(saved_model: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.onnx"
    with pytest.raises(ContractError, match="was not written"):
        convert(saved_model, output, tolerance=-1.0)  # even an equal graph is beyond this
    assert list(tmp_path.iterdir()) == []


def test_refuses_another_signature(save_tower: Callable[..., None], tmp_path: Path) -> None:
    save_tower(tmp_path / "other", mean_name="SCORE")
    with pytest.raises(ContractError, match="SCORE"):
        convert(tmp_path / "other", tmp_path / "model.onnx")


def test_refuses_a_size_that_the_signature_does_not_have(
    saved_model: Path, description: Description, tmp_path: Path
) -> None:
    folder = shutil.copytree(saved_model, tmp_path / "copy")
    (folder / "assets.extra" / "tower.json").write_text(
        json.dumps(description | {"image_size": [32, 24]})
    )
    with pytest.raises(ContractError, match="serving contract"):
        convert(folder, tmp_path / "model.onnx")


def test_an_empty_folder_says_how_to_make_a_saved_model(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["onnx", str(tmp_path), "-o", str(tmp_path / "m.onnx")])
    assert result.exit_code == 1
    assert "siamese-nima export" in result.output


def test_an_onnx_file_of_someone_else_is_refused(onnx_file: Path, tmp_path: Path) -> None:
    model = onnx.load(onnx_file)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(ContractError, match="iq-tools onnx"):
        read_tower(tmp_path / "bare.onnx")
    (tmp_path / "text.onnx").write_text("not a graph")
    with pytest.raises(ContractError, match="no ONNX file"):
        read_tower(tmp_path / "text.onnx")
