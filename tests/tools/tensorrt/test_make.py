from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from iq_tools.cli import cli
from iq_tools.errors import ScoresMovedError
from iq_tools.tensorrt.builders import find_builder
from iq_tools.tensorrt.gpu import describe_gpu
from iq_tools.tensorrt.make import make_plan
from iq_tools.tensorrt.plan import PlanOptions

pytest.importorskip("tensorrt_rtx", reason="needs the extra iq-tools[rtx]")
BUILDER = "tensorrt_rtx"


def test_a_plan_is_built_without_a_gpu_and_says_what_it_is(
    onnx_file: Path, photos: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out" / "model.plan"
    cache = tmp_path / "timing.cache"
    result = CliRunner().invoke(
        cli,
        ["plan", "--onnx", str(onnx_file), "--output", str(output), "--photos", str(photos),
         "--builder", BUILDER, "--opt-batch", "4", "--max-batch", "8",
         "--timing-cache", str(cache)],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads(output.with_suffix(".json").read_text())
    assert output.stat().st_size > 1000
    assert "measures no kernels" in result.stderr
    assert not cache.exists()
    assert report["builder"] == BUILDER
    assert report["onnx_sha256"] == hashlib.sha256(onnx_file.read_bytes()).hexdigest()
    assert report["profile"] == {"batch": [1, 4, 8]}
    layers = report["precision"]["layers"]
    assert layers["CONVOLUTION HALF"] == 2
    assert layers["SOFTMAX FLOAT"] == 1
    assert "CONVOLUTION FLOAT" not in layers
    assert 0 <= report["mean_drift"]["fp16_graph"] <= 0.03
    assert (report["gpu"] is None) == (report["mean_drift"]["plan"] is None)


def test_nothing_is_written_where_scores_move(
    onnx_file: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The real drift of this tower is far below the gate.
    monkeypatch.setattr("iq_tools.tensorrt.make.mean_drift", lambda *_: 0.031)
    output = tmp_path / "out" / "model.plan"
    with pytest.raises(ScoresMovedError, match=r"0\.031 votes"):
        make_plan(onnx_file, output, photos, PlanOptions(), builder=find_builder(BUILDER))
    assert not output.parent.exists()


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
