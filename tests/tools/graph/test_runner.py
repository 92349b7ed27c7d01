from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from iq_tools.errors import GraphError
from iq_tools.graph.runner import OnnxTower


def test_mask_turns_one_image_into_nan_and_leaves_its_neighbours(
    onnx_file: Path, description: dict[str, Any]
) -> None:
    runner = OnnxTower(onnx_file, threads=1)
    shape = (3, *description["image_size"], 3)
    pixels = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    whole = runner.score(pixels)
    masked = runner.score(pixels, np.array([[1], [np.nan], [1]], np.float32))
    for name, values in masked.items():
        assert np.isnan(values[1]).all()
        np.testing.assert_array_equal(values[[0, 2]], whole[name][[0, 2]])


def test_a_graph_that_onnx_runtime_refuses_is_named(onnx_file: Path, tmp_path: Path) -> None:
    model = onnx.load(onnx_file)
    model.graph.node[1].op_type = "Nonsense"
    damaged = tmp_path / "damaged.onnx"
    onnx.save(model, damaged)
    with pytest.raises(GraphError, match=r"refuses .*damaged\.onnx: .*Nonsense"):
        OnnxTower(damaged)
    with pytest.raises(GraphError, match=r"refuses the graph: .*Nonsense"):
        OnnxTower(damaged.read_bytes())
