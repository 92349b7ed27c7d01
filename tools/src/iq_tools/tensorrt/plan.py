"""A TensorRT plan: the options it is built with, and the report that is written about it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from iq_serving.contract import BATCH_DIMENSION, MAX_BATCH_SIZE, Tower
from iq_tools.errors import GpuError, InputError
from iq_tools.files import write_atomically
from iq_tools.graph.parity import Runner
from iq_tools.tensorrt.gpu import describe_gpu

REPORT_SUFFIX: Final = ".json"
# In the report: the sum of the ONNX file that the plan was built from.
GRAPH_SUM: Final = "onnx_sha256"

# The engine inspector's kinds of layers that cost time: CaskConvolution, CaskGemmMatrixMultiply, …
_HEAVY_KINDS: Final = re.compile(r"conv|gemm|matmul|matrixmultiply", re.IGNORECASE)
# In its words: `Half`, `Half NHWC8`, `Row major linear FP16 format`, …
_DATATYPE: Final = re.compile(
    r"\b(half|fp16|float|fp32|bfloat16|bf16|fp8|int8|uint8|int32|int64|bool)\b", re.IGNORECASE
)
_SAME_DATATYPES: Final = {"fp16": "half", "fp32": "float", "bf16": "bfloat16"}


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """Options of a build.

    Attributes:
        min_batch: Smallest batch that the plan takes.
        opt_batch: The batch that it is tuned for.
        max_batch: Largest batch; the configuration's `max_batch_size` must not exceed it.
        workspace_mib: Most scratch memory of a layer, in MiB.
        version_compatible: Also loads on later TensorRT of the same major version; slower. Triton
            wants `--backend-config=tensorrt,version-compatible=true` for it.
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
            raise InputError(
                f"batches are {self.min_batch}, {self.opt_batch}, {self.max_batch}; they have to "
                f"be 1 or more and ascending"
            )


@dataclass(frozen=True, slots=True)
class Precision:
    """Data types that a plan computes in.

    Attributes:
        layers: Number of the network's layers by type and data type, such as
            `CONVOLUTION HALF`. The network is strongly typed: these are binding. None where
            the builder does not show its network.
        engine: The same of the built engine's layers, by the engine inspector; None where
            there is no GPU to load the engine on.
    """

    layers: dict[str, int] | None
    engine: dict[str, int] | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A built plan.

    Attributes:
        data: The serialised engine.
        precision: Its data types.
    """

    data: bytes
    precision: Precision


class PlanRunner(Runner, Protocol):
    """A plan that was loaded on the GPU."""

    def speed(self, pixels: npt.NDArray[np.uint8], seconds: float) -> float:
        """Images per second of the plan alone: inputs and outputs stay in the GPU's memory."""
        ...


class Builder(Protocol):
    """A way to TensorRT."""

    @property
    def name(self) -> str:
        """Its name, for reports."""
        ...

    @property
    def version(self) -> str:
        """Version of TensorRT, to which a plan belongs."""
        ...

    def build(
        self, graph: bytes, tower: Tower, options: PlanOptions, report: Callable[[str], None]
    ) -> Plan:
        """Builds a plan from a serialised FP16 graph; `GpuError` where it cannot."""
        ...

    def runner(self, plan: bytes) -> PlanRunner:
        """Loads a plan on the GPU; `GpuError` where it cannot."""
        ...


def write_plan(
    plan: Plan,
    output: Path,
    *,
    onnx_sha256: str,
    options: PlanOptions,
    builder: Builder,
    drift: dict[str, float | None],
) -> None:
    """Writes a plan, and beside it a report of what it was built from, with and for.

    Args:
        plan: The plan.
        output: Its file; the report is the same name with `.json`.
        onnx_sha256: Sum of the ONNX file that it was built from.
        options: Options it was built with.
        builder: The way to TensorRT that built it.
        drift: max |Δ mean| against the ONNX graph by stage; None where a stage did not run.
    """
    description = {
        "builder": builder.name,
        "tensorrt": builder.version,
        "gpu": describe_gpu(),
        GRAPH_SUM: onnx_sha256,
        "profile": {
            BATCH_DIMENSION: [options.min_batch, options.opt_batch, options.max_batch],
        },
        "workspace_mib": options.workspace_mib,
        "version_compatible": options.version_compatible,
        "hardware_compatible": options.hardware_compatible,
        "precision": asdict(plan.precision),
        "mean_drift": drift,
    }
    text = json.dumps(description, indent=2) + "\n"
    report = output.with_suffix(REPORT_SUFFIX)
    report.unlink(missing_ok=True)  # a report never tells of another plan than the one beside it
    write_atomically(output, plan.data)
    write_atomically(report, text.encode())


def count_engine_layers(information: dict[str, Any]) -> dict[str, int]:
    """Counts an engine's layers by kind and data type.

    Args:
        information: The engine inspector's JSON, of an engine built with detailed verbosity.

    Returns:
        Counts by name, such as `CaskConvolution half`; `unknown` where a layer does not tell.

    Raises:
        GpuError: Nothing computes in FP16, something heavy does not, or there are no details.
    """
    counts: Counter[str] = Counter()
    wide: Counter[str] = Counter()
    for layer in information["Layers"]:
        if not isinstance(layer, dict):
            raise GpuError(
                f"the engine tells nothing of its layers but their names, such as {layer!r}: it "
                f"was built without detailed profiling verbosity"
            )
        kind = str(layer.get("LayerType", "unknown"))
        datatype = _datatype(layer)
        counts[f"{kind} {datatype}"] += 1
        if _HEAVY_KINDS.search(kind) and datatype == "float":
            wide[f"{kind} {datatype}"] += 1
    if wide:
        raise GpuError(f"the engine is not FP16 where it costs time: {dict(wide)}")
    if not any(kind.endswith(" half") for kind in counts):
        raise GpuError(f"no layer of the engine computes in FP16: {dict(counts)}")
    return dict(sorted(counts.items()))


def _datatype(layer: dict[str, Any]) -> str:
    """The data type a layer computes in, as far as the inspector tells.

    Of an engine with a dynamic batch it tells the formats of no tensor ("N/A due to dynamic
    shapes"), but the type of the weights, which in a strongly typed network is that of the layer.
    """
    weights = layer.get("Weights") or {}
    tensors = [*(layer.get("Inputs") or ()), *(layer.get("Outputs") or ())]
    for text in (weights.get("Type"), *(tensor.get("Format/Datatype") for tensor in tensors)):
        found = _DATATYPE.search(str(text))
        if found is not None:
            name = found.group().lower()
            return _SAME_DATATYPES.get(name, name)
    return "unknown"
