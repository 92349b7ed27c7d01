from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from iq_tools.errors import GpuError
from iq_tools.graph.fp16 import to_fp16
from iq_tools.graph.tower import read_tower
from iq_tools.tensorrt.builders import find_builder
from iq_tools.tensorrt.plan import Plan, PlanOptions

pytestmark = pytest.mark.slow  # TensorRT builds plans

pytest.importorskip("tensorrt_rtx", reason="needs the extra iq-tools[rtx]")


BUILDER = "tensorrt_rtx"


def _build(graph: bytes, onnx_file: Path) -> Plan:
    tower = read_tower(onnx_file)
    return find_builder(BUILDER).build(graph, tower, PlanOptions(), lambda line: None)


def test_a_graph_that_is_not_fp16_is_refused(onnx_file: Path) -> None:
    with pytest.raises(GpuError, match="CONVOLUTION FLOAT"):
        _build(onnx_file.read_bytes(), onnx_file)


def test_a_graph_that_tensorrt_cannot_read_is_refused(onnx_file: Path) -> None:
    with pytest.raises(GpuError, match="refuses the graph"):
        _build(b"not onnx", onnx_file)


def test_the_graph_that_is_built_is_the_fp16_one(onnx_file: Path) -> None:
    graph = to_fp16(onnx.load(onnx_file)).SerializeToString()
    plan = _build(graph, onnx_file)
    assert plan.precision.layers is not None
    assert "MATRIX_MULTIPLY HALF" in plan.precision.layers


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


# TensorRT for RTX, which stands in for TensorRT here, has deprecated its timing cache.
_WITH_TIMING_CACHE = pytest.mark.filterwarnings(
    "ignore:.*Timing cache operations are no-ops:DeprecationWarning"
)


@_WITH_TIMING_CACHE
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
    with pytest.raises(GpuError, match=r"built nothing: .*lean"):
        find_builder(BUILDER).build(
            graph, read_tower(onnx_file), PlanOptions(version_compatible=True), lambda line: None
        )


@_WITH_TIMING_CACHE
def test_measured_kernels_are_kept(onnx_file: Path, tmp_path: Path) -> None:
    import tensorrt_rtx as trt

    from iq_tools.tensorrt.python_api import _build as build

    graph = to_fp16(onnx.load(onnx_file)).SerializeToString()
    file = tmp_path / "timing.cache"
    build(graph, read_tower(onnx_file), PlanOptions(timing_cache=file), trt, lambda line: None)
    assert file.stat().st_size > 0


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
