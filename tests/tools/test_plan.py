from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from click.testing import CliRunner
from PIL import Image

from iq_tools.tensorrt.builders import find_builder
from iq_tools.cli import main
from iq_tools.contract import ContractError
from iq_tools.graph.fp16 import to_fp16
from iq_tools.graph.tower import read_tower
from iq_tools.graph.parity import mean_drift, require_parity
from iq_tools.tensorrt.plan import Plan, PlanOptions, count_engine_layers, describe_gpu
from iq_tools.tensorrt.make import make_plan

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
    monkeypatch.setattr("iq_tools.tensorrt.make.mean_drift", lambda *_: 0.031)
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


def _layer(kind: str, datatype: str, weights: str | None = None) -> dict[str, object]:
    tensor = {"Format/Datatype": datatype}
    layer: dict[str, object] = {"LayerType": kind, "Inputs": [tensor], "Outputs": [tensor]}
    return layer | ({"Weights": {"Type": weights, "Count": 9}} if weights else {})


DYNAMIC = "N/A due to dynamic shapes"


@pytest.mark.parametrize(
    ("layers", "counts"),
    [
        (
            [_layer("CaskConvolution", "Half NHWC8")] * 2 + [_layer("SoftMax", "Float NCHW")],
            {"CaskConvolution half": 2, "SoftMax float": 1},
        ),
        (
            [
                _layer("CaskConvolution", DYNAMIC, "Half"),
                _layer("CaskGemmMatrixMultiply", DYNAMIC, "Half"),
                _layer("Reformat", DYNAMIC),
            ],
            {"CaskConvolution half": 1, "CaskGemmMatrixMultiply half": 1, "Reformat unknown": 1},
        ),
        ([_layer("gemm", "Row major linear FP16 format")], {"gemm half": 1}),
        # The last product of a tower may write FP32: what it reads is what it computes in.
        (
            [{"LayerType": "gemm", "Inputs": [{"Format/Datatype": "Half"}],
              "Outputs": [{"Format/Datatype": "Float"}]}],
            {"gemm half": 1},
        ),
    ],
)  # fmt: skip
def test_an_engines_layers_are_counted_by_precision(
    layers: list[dict[str, object]], counts: dict[str, int]
) -> None:
    assert count_engine_layers({"Layers": layers}) == counts


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ([_layer("CaskConvolution", "Float NCHW")], "not FP16 where it costs time"),
        (
            [
                _layer("CaskConvolution", DYNAMIC, "Half"),
                _layer("CaskConvolution", DYNAMIC, "Float"),
            ],
            "not FP16 where it costs time: {'CaskConvolution float': 1}",
        ),
        ([_layer("CaskConvolution", DYNAMIC)], "no layer of the engine computes in FP16"),
        ([], "no layer of the engine"),
        (["conv1 + relu1"], "built without detailed profiling"),
    ],
)
def test_an_engine_that_is_not_proven_fp16_is_refused(layers: list[object], reason: str) -> None:
    with pytest.raises(ContractError, match=re.escape(reason)):
        count_engine_layers({"Layers": layers})


def _program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def _with_programs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_gpus_of_one_kind_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_programs(tmp_path, monkeypatch)
    _program(tmp_path, "nvidia-smi", "echo 'NVIDIA L4, 8.9, 590.10'; echo 'NVIDIA L4, 8.9, 590.10'")
    assert describe_gpu() == {"name": "NVIDIA L4", "compute_cap": "8.9", "driver_version": "590.10"}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("echo 'NVIDIA L4, 8.9, 590.10'; echo 'NVIDIA T4, 7.5, 590.10'", "of several kinds"),
        ("echo 'Field compute_cap is not a valid field to query.'", "nvidia-smi says"),
    ],
)
def test_gpus_that_no_single_plan_fits_are_named(
    said: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_programs(tmp_path, monkeypatch)
    _program(tmp_path, "nvidia-smi", said)
    with pytest.raises(ContractError, match=reason):
        describe_gpu()


def test_every_option_reaches_trtexec(
    onnx_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_programs(tmp_path, monkeypatch)
    asked = tmp_path / "asked"
    fake = Path(__file__).with_name("fake_trtexec.py")
    script = f'printf "%s\\n" "$@" > {asked}\nexec {sys.executable} {fake} "$@"'
    _program(tmp_path, "trtexec", script)
    options = PlanOptions(
        min_batch=2, opt_batch=4, max_batch=8, workspace_mib=256, version_compatible=True,
        hardware_compatible=True, timing_cache=tmp_path / "timing.cache",
    )  # fmt: skip
    graph = to_fp16(onnx.load(onnx_file)).SerializeToString()
    find_builder("trtexec").build(graph, read_tower(onnx_file), options, lambda line: None)
    assert {
        "--minShapes=PIXELS:2x24x32x3,MASK:2x1",
        "--optShapes=PIXELS:4x24x32x3,MASK:4x1",
        "--maxShapes=PIXELS:8x24x32x3,MASK:8x1",
        "--memPoolSize=workspace:256",
        "--stronglyTyped",
        "--versionCompatible",
        "--hardwareCompatibilityLevel=ampere+",
        f"--timingCacheFile={tmp_path / 'timing.cache'}",
        "--profilingVerbosity=detailed",
    } <= set(asked.read_text().splitlines())


class _Configuration:
    """Records what the real configuration is told."""

    def __init__(self, real: Any, told: dict[str, Any]) -> None:
        object.__setattr__(self, "_real", real)
        object.__setattr__(self, "_told", told)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            self._told.setdefault(name, []).append(arguments)
            return found(*arguments, **options)

        return call

    def __setattr__(self, name: str, value: Any) -> None:
        self._told[name] = value
        setattr(self._real, name, value)


def test_every_option_reaches_the_python_api(tmp_path: Path) -> None:
    import tensorrt_rtx as trt

    from iq_tools.tensorrt.python_api import _configure

    options = PlanOptions(
        workspace_mib=256, version_compatible=True, hardware_compatible=True,
        timing_cache=tmp_path / "timing.cache",
    )  # fmt: skip
    (tmp_path / "timing.cache").write_bytes(b"")
    told: dict[str, Any] = {}
    real = trt.Builder(trt.Logger(trt.Logger.ERROR)).create_builder_config()
    _configure(_Configuration(real, told), options, trt, lambda line: None)
    assert told["set_memory_pool_limit"] == [(trt.MemoryPoolType.WORKSPACE, 256 * 2**20)]
    assert told["set_flag"] == [(trt.BuilderFlag.VERSION_COMPATIBLE,)]
    assert told["hardware_compatibility_level"] == trt.HardwareCompatibilityLevel.AMPERE_PLUS
    assert told["profiling_verbosity"] == trt.ProfilingVerbosity.DETAILED
    assert told["create_timing_cache"]
    assert told["set_timing_cache"]


def test_a_plan_for_other_gpus_is_built_and_progress_is_told(onnx_file: Path) -> None:
    graph = to_fp16(onnx.load(onnx_file)).SerializeToString()
    said: list[str] = []
    plan = find_builder(BUILDER).build(
        graph, read_tower(onnx_file), PlanOptions(hardware_compatible=True), said.append
    )
    assert plan.data
    assert any("steps)" in line for line in said)


def test_why_nothing_was_built_is_told(onnx_file: Path) -> None:
    # Version-compatible plans hold TensorRT's lean runtime, which this package comes without.
    graph = to_fp16(onnx.load(onnx_file)).SerializeToString()
    with pytest.raises(ContractError, match=r"built nothing: .*lean"):
        find_builder(BUILDER).build(
            graph, read_tower(onnx_file), PlanOptions(version_compatible=True), lambda line: None
        )


class _MismatchingCache:
    """A configuration to which every cache but an empty one is another GPU's."""

    def __init__(self) -> None:
        self.used: list[bytes] = []

    def create_timing_cache(self, data: bytes) -> bytes:
        return data

    def set_timing_cache(self, cache: bytes, *, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if cache:
            return False
        self.used.append(cache)
        return True


def test_a_timing_cache_of_another_gpu_is_replaced_and_told(tmp_path: Path) -> None:
    from iq_tools.tensorrt.python_api import _use_timing_cache

    file = tmp_path / "timing.cache"
    file.write_bytes(b"another GPU's")
    configuration = _MismatchingCache()
    said: list[str] = []
    _use_timing_cache(configuration, file, said.append)
    assert configuration.used == [b""]
    assert "another GPU" in said[0]


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
