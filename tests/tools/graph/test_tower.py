from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from iq_tools.errors import GraphError, InputError
from iq_tools.graph.tower import graph_of, open_tower, read_tower


def test_an_onnx_file_of_someone_else_is_refused(onnx_file: Path, tmp_path: Path) -> None:
    model = onnx.load(onnx_file)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(GraphError, match="iq-tools onnx"):
        read_tower(tmp_path / "bare.onnx")
    (tmp_path / "text.onnx").write_text("not a graph")
    with pytest.raises(GraphError, match="no ONNX file"):
        read_tower(tmp_path / "text.onnx")


def test_bytes_graph_and_description_belong_together(onnx_file: Path) -> None:
    found = open_tower(onnx_file)
    assert found.data == onnx_file.read_bytes()
    assert found.model == onnx.load(onnx_file)
    assert found.tower == read_tower(onnx_file)


def test_half_a_graph_is_called_damaged(onnx_file: Path, tmp_path: Path) -> None:
    data = onnx_file.read_bytes()
    (tmp_path / "half.onnx").write_bytes(data[: len(data) // 2])
    with pytest.raises(GraphError, match="damaged"):
        read_tower(tmp_path / "half.onnx")


def test_a_description_that_is_wrong_is_the_graphs_fault(onnx_file: Path, tmp_path: Path) -> None:
    model = onnx.load(onnx_file)
    onnx.helper.set_model_props(model, {"tower.json": "{}"})
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(GraphError, match="does not describe a tower"):
        read_tower(tmp_path / "other.onnx")


def test_a_missing_file_and_a_wrong_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.onnx cannot be read: No such file"):
        read_tower(tmp_path / "none.onnx")
    with pytest.raises(InputError, match="is no model repository"):
        graph_of(tmp_path)
