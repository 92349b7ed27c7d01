"""Builds a TensorRT plan from a tower's ONNX graph and proves its precision."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from iq_tools.contract import BATCH_DIMENSION, MASK, MAX_BATCH_SIZE, PIXELS, ContractError, Tower
from iq_tools.files import write_atomically

# Builders with the same Python API. The second builds without a GPU.
BUILDERS: Final = ("tensorrt", "tensorrt_rtx")
OLDEST_TENSORRT: Final = (10, 12)
REPORT_SUFFIX: Final = ".json"

# What costs time in a tower, by the name of TensorRT's layer type.
_HEAVY: Final = frozenset({"CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY"})
_HALF: Final = "HALF"


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """How to build.

    Attributes:
        min_batch: Smallest batch that the plan takes.
        opt_batch: The batch that it is tuned for.
        max_batch: Largest batch; the configuration's `max_batch_size` must not exceed it.
        workspace_mib: Most scratch memory of a layer, in MiB.
        version_compatible: Also loads on later TensorRT of the same major version; slower.
        hardware_compatible: Also loads on other GPUs from Ampere on; slower.
        timing_cache: File that keeps measured kernels, so that the next build is quick.
    """

    min_batch: int = 1
    opt_batch: int = 16
    max_batch: int = MAX_BATCH_SIZE
    workspace_mib: int = 2048
    version_compatible: bool = False
    hardware_compatible: bool = False
    timing_cache: Path | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.min_batch <= self.opt_batch <= self.max_batch:
            raise ContractError(
                f"batches are {self.min_batch}, {self.opt_batch}, {self.max_batch}; they have to "
                f"be 1 or more and ascending"
            )


@dataclass(frozen=True, slots=True)
class Precision:
    """What a plan computes in.

    Attributes:
        layers: Number of the network's layers by type and data type, such as
            `CONVOLUTION HALF`. The network is strongly typed: these are binding.
        engine: The same of the built engine's layers, by the engine inspector; None where
            there is no GPU to load the engine on.
    """

    layers: dict[str, int]
    engine: dict[str, int] | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A built plan.

    Attributes:
        data: The serialised engine.
        precision: What it computes in.
    """

    data: bytes
    precision: Precision


def find_builder(name: str | None = None) -> ModuleType:
    """The TensorRT module to build with.

    Args:
        name: One of `BUILDERS`; None for the first that is installed.

    Returns:
        The module.

    Raises:
        ContractError: None is installed, or TensorRT is too old.
    """
    for candidate in (name,) if name else BUILDERS:
        try:
            module = importlib.import_module(candidate)
        except ImportError:
            continue
        version = tuple(int(part) for part in module.__version__.split(".")[:2])
        if candidate == "tensorrt" and version < OLDEST_TENSORRT:
            raise ContractError(
                f"TensorRT {module.__version__} is older than "
                f"{'.'.join(map(str, OLDEST_TENSORRT))}, the first whose strongly typed networks "
                f"take this graph"
            )
        return module
    raise ContractError(
        f"{name or ' or '.join(BUILDERS)} is not installed. On the machine that serves: pip "
        f"install tensorrt, the version of its Triton; to try without a GPU: pip install "
        f"tensorrt-rtx-cu13"
    )


def build_plan(
    graph: bytes,
    tower: Tower,
    options: PlanOptions,
    trt: ModuleType,
    *,
    report: Callable[[str], None] = lambda line: None,
) -> Plan:
    """Builds a plan from an FP16 graph.

    Args:
        graph: The serialised ONNX graph, as `to_fp16` makes it.
        tower: Gives the size of the pixels.
        options: How to build.
        trt: The TensorRT module.
        report: Receives a line for every phase of the build.

    Returns:
        The plan.

    Raises:
        ContractError: TensorRT refuses the graph, or a heavy layer is not FP16.
    """
    log = _Log(trt)
    builder = trt.Builder(log.logger)
    strongly_typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(strongly_typed)
    parser = trt.OnnxParser(network, log.logger)
    if not parser.parse(graph):
        errors = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
        raise ContractError(f"TensorRT {trt.__version__} refuses the graph: {errors}")
    layers = _count_layers(network)
    _require_half(layers)
    configuration = builder.create_builder_config()
    _configure(configuration, options, trt, report)
    profile = builder.create_optimization_profile()
    batches = (options.min_batch, options.opt_batch, options.max_batch)
    for name, shape in ((PIXELS, (*tower.image_size, 3)), (MASK, (1,))):
        profile.set_shape(name, *((batch, *shape) for batch in batches))
    configuration.add_optimization_profile(profile)
    serialised = builder.build_serialized_network(network, configuration)
    if serialised is None:
        raise ContractError(f"TensorRT {trt.__version__} built nothing: {log.last_error}")
    if options.timing_cache is not None:
        cache = configuration.get_timing_cache()
        if cache is not None:
            write_atomically(options.timing_cache, bytes(cache.serialize()))
    data = bytes(serialised)
    return Plan(data, Precision(layers, inspect_engine(data, trt)))


def write_plan(
    plan: Plan,
    output: Path,
    *,
    onnx_file: Path,
    options: PlanOptions,
    trt: ModuleType,
    drift: dict[str, float | None],
) -> None:
    """Writes a plan and beside it what it was built from, with and for.

    Args:
        plan: The plan.
        output: Its file; the report is the same name with `.json`.
        onnx_file: The tower's graph that it was built from.
        options: How it was built.
        trt: The TensorRT module.
        drift: max |Δ mean| against the ONNX graph by stage; None where a stage did not run.
    """
    description = {
        "builder": trt.__name__,
        "tensorrt": trt.__version__,
        "gpu": describe_gpu(),
        "onnx_sha256": hashlib.sha256(onnx_file.read_bytes()).hexdigest(),
        "profile": {
            BATCH_DIMENSION: [options.min_batch, options.opt_batch, options.max_batch],
        },
        "version_compatible": options.version_compatible,
        "hardware_compatible": options.hardware_compatible,
        "precision": asdict(plan.precision),
        "mean_drift": drift,
    }
    text = json.dumps(description, indent=2) + "\n"
    write_atomically(output.with_suffix(REPORT_SUFFIX), text.encode())
    write_atomically(output, plan.data)


def describe_gpu() -> dict[str, str] | None:
    """Name, compute capability and driver of the first GPU; None where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    fields = ("name", "compute_cap", "driver_version")
    asked = subprocess.run(
        [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode or not asked.stdout.strip():
        return None
    values = asked.stdout.splitlines()[0].split(",")
    return dict(zip(fields, (value.strip() for value in values), strict=True))


def inspect_engine(data: bytes, trt: ModuleType) -> dict[str, int] | None:
    """Counts an engine's layers by kind and data type of their first output.

    Args:
        data: The serialised engine, built with detailed profiling verbosity.
        trt: The TensorRT module.

    Returns:
        Counts by name, such as `CaskConvolution Half`; None where no GPU can load it.

    Raises:
        ContractError: No layer of the engine computes in FP16.
    """
    if describe_gpu() is None:
        return None
    engine = trt.Runtime(_Log(trt).logger).deserialize_cuda_engine(data)
    if engine is None:
        raise ContractError("the plan that was just built cannot be loaded on this GPU")
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    return count_engine_layers(json.loads(text))


def count_engine_layers(information: dict[str, Any]) -> dict[str, int]:
    """The counts of `inspect_engine` from the inspector's JSON.

    Raises:
        ContractError: No layer computes in FP16.
    """
    counts: Counter[str] = Counter()
    for layer in information["Layers"]:
        outputs = layer.get("Outputs") or [{}]
        datatype = str(outputs[0].get("Format/Datatype", "unknown")).split(" ")[0]
        counts[f"{layer.get('LayerType', 'unknown')} {datatype}"] += 1
    if not any(kind.endswith(("Half", "FP16")) for kind in counts):
        raise ContractError(f"no layer of the engine computes in FP16: {dict(counts)}")
    return dict(sorted(counts.items()))


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
        raise ContractError(
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
        known = options.timing_cache.read_bytes() if options.timing_cache.is_file() else b""
        configuration.set_timing_cache(
            configuration.create_timing_cache(known), ignore_mismatch=False
        )


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
