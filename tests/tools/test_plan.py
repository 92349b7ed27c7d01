from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from click.testing import CliRunner
from PIL import Image

from iq_tools.builders import find_builder
from iq_tools.cli import main
from iq_tools.contract import ContractError
from iq_tools.fp16 import to_fp16
from iq_tools.onnx_export import read_tower
from iq_tools.parity import mean_drift, require_parity
from iq_tools.plan import Plan, PlanOptions, count_engine_layers, describe_gpu
from iq_tools.plan_build import make_plan

pytest.importorskip("tensorrt_rtx", reason="needs the extra iq-tools[rtx]")
BUILDER = "tensorrt_rtx"


def _build(graph: bytes, onnx_file: Path) -> Plan:
    tower = read_tower(onnx_file)
    return find_builder(BUILDER).build(graph, tower, PlanOptions(), lambda line: None)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(3):
        pixels = generator.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def test_a_plan_is_built_without_a_gpu_and_says_what_it_is(
    onnx_file: Path, photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out" / "model.plan"
    cache = tmp_path / "timing.cache"
    result = CliRunner().invoke(
        main,
        ["plan", "--onnx", str(onnx_file), "--output", str(output), "--photos", str(photos),
         "--builder", BUILDER, "--opt-batch", "4", "--max-batch", "8",
         "--timing-cache", str(cache)],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads(output.with_suffix(".json").read_text())
    assert output.stat().st_size > 1000
    assert cache.stat().st_size > 0
    assert report["builder"] == BUILDER
    assert report["onnx_sha256"] == hashlib.sha256(onnx_file.read_bytes()).hexdigest()
    assert report["profile"] == {"batch": [1, 4, 8]}
    layers = report["precision"]["layers"]
    assert layers["CONVOLUTION HALF"] == 2
    assert layers["SOFTMAX FLOAT"] == 1
    assert "CONVOLUTION FLOAT" not in layers
    assert 0 <= report["mean_drift"]["fp16_graph"] <= 0.03
    assert (report["gpu"] is None) == (report["mean_drift"]["plan"] is None)


def test_a_graph_that_is_not_fp16_is_refused(onnx_file: Path) -> None:
    with pytest.raises(ContractError, match="CONVOLUTION FLOAT"):
        _build(onnx_file.read_bytes(), onnx_file)


def test_a_graph_that_tensorrt_cannot_read_is_refused(onnx_file: Path) -> None:
    with pytest.raises(ContractError, match="refuses the graph"):
        _build(b"not onnx", onnx_file)


def test_nothing_is_written_where_scores_move(
    onnx_file: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The real drift of this tower is far below the gate.
    monkeypatch.setattr("iq_tools.plan_build.mean_drift", lambda *_: 0.031)
    output = tmp_path / "out" / "model.plan"
    with pytest.raises(ContractError, match=r"0\.031 votes"):
        make_plan(onnx_file, output, photos, PlanOptions(), builder=find_builder(BUILDER))
    assert not output.parent.exists()


class _Constant:
    def __init__(self, *means: float) -> None:
        self._means = means

    def score(self, pixels: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        return {"MEAN": np.array(self._means[: len(pixels)], np.float32)[:, None]}


def test_drift_is_the_largest_and_nan_is_beyond_every_gate() -> None:
    pixels = np.zeros((3, 2, 2, 3), np.uint8)
    reference = _Constant(5.0, 6.0, 7.0)
    assert mean_drift(reference, _Constant(5.0, 6.25, 6.9), pixels) == pytest.approx(0.25)
    broken = mean_drift(reference, _Constant(5.0, float("nan"), 7.0), pixels)
    with pytest.raises(ContractError, match="not written"):
        require_parity(broken, what="this")


@pytest.mark.parametrize("batches", [(0, 1, 2), (2, 1, 3), (1, 9, 8)])
def test_batches_have_to_ascend(batches: tuple[int, int, int]) -> None:
    with pytest.raises(ContractError, match="ascending"):
        PlanOptions(*batches)


def test_a_missing_builder_says_what_to_install() -> None:
    with pytest.raises(ContractError, match="pip install tensorrt"):
        find_builder("tensorrt_of_another_planet")


def test_engine_without_an_fp16_layer_is_refused() -> None:
    def layer(kind: str, datatype: str) -> dict[str, object]:
        return {"LayerType": kind, "Outputs": [{"Format/Datatype": datatype}]}

    half = layer("CaskConvolution", "Half NHWC8")
    single = layer("CaskConvolution", "Float NCHW")
    assert count_engine_layers({"Layers": [half, half, single]}) == {
        "CaskConvolution Float": 1,
        "CaskConvolution Half": 2,
    }
    with pytest.raises(ContractError, match="no layer"):
        count_engine_layers({"Layers": [single]})


@pytest.mark.gpu
@pytest.mark.skipif(describe_gpu() is None, reason="needs an NVIDIA GPU (nvidia-smi)")
def test_the_plan_scores_as_the_graph_on_the_gpu(
    onnx_file: Path, photos: Path, tmp_path: Path
) -> None:
    drift = make_plan(
        onnx_file, tmp_path / "model.plan", photos, PlanOptions(), builder=find_builder()
    )
    assert drift["plan"] is not None
    assert drift["plan"] <= 0.03
    assert json.loads((tmp_path / "model.json").read_text())["precision"]["engine"]


def test_the_graph_that_is_built_is_the_fp16_one(onnx_file: Path) -> None:
    graph = to_fp16(onnx.load(onnx_file)).SerializeToString()
    plan = _build(graph, onnx_file)
    assert plan.precision.layers is not None
    assert "MATRIX_MULTIPLY HALF" in plan.precision.layers
