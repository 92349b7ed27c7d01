"""Plans built through TensorRT's Python API."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from iq_serving.contract import MASK, PIXELS, Tower
from iq_tools.errors import GpuError
from iq_tools.files import write_atomically
from iq_tools.tensorrt.gpu import describe_gpu
from iq_tools.tensorrt.plan import (
    Plan,
    PlanOptions,
    PlanRunner,
    Precision,
    count_engine_layers,
)
from iq_tools.tensorrt.runner import PlanTower

# TensorRT's types of layers that cost time in a tower.
_HEAVY: Final = frozenset({"CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY"})
_HALF: Final = "HALF"
# TensorRT for RTX compiles kernels where it loads a plan; its timing cache is deprecated and empty.
_WITHOUT_TIMING_CACHE: Final = "tensorrt_rtx"


class PythonBuilder:
    """`tensorrt`, or `tensorrt_rtx`, which has the same API and builds without a GPU."""

    def __init__(self, module: ModuleType) -> None:
        """Takes the imported module."""
        self._trt = module
        self.name = module.__name__
        self.version: str = module.__version__

    def build(
        self, graph: bytes, tower: Tower, options: PlanOptions, report: Callable[[str], None]
    ) -> Plan:
        """Builds a plan.

        Args:
            graph: The serialised ONNX graph, as `to_fp16` makes it.
            tower: Gives the size of the pixels.
            options: Options of the build.
            report: Receives a line for every phase of the build.

        Returns:
            The plan.

        Raises:
            GpuError: TensorRT refuses the graph, or a heavy layer is not FP16.
        """
        if options.timing_cache is not None and self.name == _WITHOUT_TIMING_CACHE:
            report(f"{self.name} measures no kernels: {options.timing_cache} is left alone")
            options = replace(options, timing_cache=None)
        return _build(graph, tower, options, self._trt, report)

    def runner(self, plan: bytes) -> PlanRunner:
        """Loads a plan on the GPU; raises `GpuError` where there is none."""
        return PlanTower(plan, self._trt)


def _build(
    graph: bytes,
    tower: Tower,
    options: PlanOptions,
    trt: ModuleType,
    report: Callable[[str], None],
) -> Plan:
    log = _Log(trt)
    builder = trt.Builder(log.logger)
    strongly_typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(strongly_typed)
    parser = trt.OnnxParser(network, log.logger)
    if not parser.parse(graph):
        errors = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise GpuError(f"TensorRT {trt.__version__} refuses the graph: {errors}")
    layers = _count_layers(network)
    _require_half(layers)
    configuration = builder.create_builder_config()
    _configure(configuration, options, trt, report)
    profile = builder.create_optimization_profile()
    batches = (options.min_batch, options.opt_batch, options.max_batch)
    for name, shape in _shapes(tower).items():
        profile.set_shape(name, *((batch, *shape) for batch in batches))
    configuration.add_optimization_profile(profile)
    serialised = builder.build_serialized_network(network, configuration)
    if serialised is None:
        raise GpuError(f"TensorRT {trt.__version__} built nothing: {log.last_error}")
    if options.timing_cache is not None:
        cache = configuration.get_timing_cache()
        if cache is not None:
            write_atomically(options.timing_cache, bytes(cache.serialize()))
    data = bytes(serialised)
    return Plan(data, Precision(layers, _inspect(data, tower, options, trt)))


def _inspect(
    data: bytes, tower: Tower, options: PlanOptions, trt: ModuleType
) -> dict[str, int] | None:
    """Counts the engine's layers; None where no GPU can load it."""
    if describe_gpu() is None:
        return None
    engine = trt.Runtime(_Log(trt).logger).deserialize_cuda_engine(data)
    if engine is None:
        raise GpuError("the plan that was just built cannot be loaded on this GPU")
    context = engine.create_execution_context()
    for name, shape in _shapes(tower).items():
        context.set_input_shape(name, (options.opt_batch, *shape))
    inspector = engine.create_engine_inspector()
    inspector.execution_context = context  # with a batch that is fixed it tells more
    text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    return count_engine_layers(json.loads(text))


def _shapes(tower: Tower) -> dict[str, tuple[int, ...]]:
    """The inputs without their batch."""
    return {PIXELS: (*tower.image_size, 3), MASK: (1,)}


def _count_layers(network: Any) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        counts[f"{layer.type.name} {layer.get_output(0).dtype.name}"] += 1
    return dict(sorted(counts.items()))


def _require_half(layers: dict[str, int]) -> None:
    heavy = {kind: n for kind, n in layers.items() if kind.split(" ")[0] in _HEAVY}
    wide = {kind: n for kind, n in heavy.items() if not kind.endswith(_HALF)}
    if not heavy or wide:
        raise GpuError(
            f"the graph is not FP16 where it costs time: {wide or 'it has no such layer'}"
        )


def _configure(
    configuration: Any, options: PlanOptions, trt: ModuleType, report: Callable[[str], None]
) -> None:
    configuration.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    configuration.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * 2**20)
    configuration.progress_monitor = _progress_monitor(trt, report)
    if options.version_compatible:
        configuration.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        configuration.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.timing_cache is not None:
        _use_timing_cache(configuration, options.timing_cache, report)


def _use_timing_cache(configuration: Any, file: Path, report: Callable[[str], None]) -> None:
    """Takes what earlier builds measured; another GPU's or TensorRT's is replaced."""
    known = file.read_bytes() if file.is_file() else b""
    cache = configuration.create_timing_cache(known)
    if cache is not None and configuration.set_timing_cache(cache, ignore_mismatch=False):
        return
    report(f"{file} is of another GPU or TensorRT, or damaged: kernels are measured anew")
    configuration.set_timing_cache(configuration.create_timing_cache(b""), ignore_mismatch=False)


def _progress_monitor(trt: ModuleType, report: Callable[[str], None]) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            report(f"{phase_name} ({num_steps} steps)")

        def step_complete(self, phase_name: str, step: int) -> bool:
            return True

        def phase_finish(self, phase_name: str) -> None:
            pass

    return Monitor()


class _Log:
    """Keeps TensorRT's last error for the message instead of printing it."""

    def __init__(self, trt: ModuleType) -> None:
        self.last_error = "it gave no reason"
        log = self

        class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity <= trt.ILogger.Severity.ERROR:
                    log.last_error = message

        self.logger = Logger()
