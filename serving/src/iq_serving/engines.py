"""Engines that run a tower's ONNX graph on the CPU: ONNX Runtime, or OpenVINO for bf16."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .contract import (
    BF16,
    GRAPH_FILES,
    MASK,
    ONNXRUNTIME,
    OPENVINO,
    PIXELS,
    PRECISIONS,
    TOWER_OUTPUTS,
)
from .identity import check_graph, check_version
from .machine import has_bf16, usable_cores

Array = npt.NDArray[Any]
Run = Callable[[Array, Array], Sequence[Array]]

OUTPUTS: Final = tuple(TOWER_OUTPUTS)


class EngineError(RuntimeError):
    """A tower cannot be computed here as its configuration states; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A loaded graph: takes pixels uint8 [n,H,W,3] and a mask fp32 [n,1], and gives `OUTPUTS`.

    Attributes:
        together: Computes a batch on all threads; one call at a time gains by it.
        apart: Computes a batch on one thread; as many calls as there are threads go on side by
            side.
        threads: Number of threads.
    """

    together: Run
    apart: Run
    threads: int


def open_engine(version: Path, parameters: Mapping[str, str]) -> Engine:
    """Checks a version of a tower and loads its graph.

    Args:
        version: The version's folder.
        parameters: Those of a model's configuration: `engine`, `precision`, `threads` (0 for one
            per usable core), and the description of the version.

    Returns:
        The engine that the configuration names.

    Raises:
        ContractError: The version is incomplete or has parts that do not belong together.
        EngineError: The engine is unknown or not installed, or cannot compute in that precision.
    """
    engine, precision = parameters["engine"], parameters["precision"]
    _check(engine, precision)
    graph = version / GRAPH_FILES[precision]
    if not graph.is_file():
        raise EngineError(
            f"{graph} is missing; write it with: iq-tools repository --precision {precision}"
        )
    check_graph(graph, check_version(version, parameters))
    return ENGINES[engine](graph, int(parameters["threads"]) or usable_cores(), precision)


def _onnxruntime(graph: Path, threads: int, precision: str) -> Engine:
    import onnxruntime

    def session(intra_op: int) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = intra_op
        # The cores belong to the decoding threads as well: a waiting thread must not spin on one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        loaded = onnxruntime.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"]
        )
        return functools.partial(run, loaded)

    def run(session: Any, pixels: Array, mask: Array) -> Sequence[Array]:
        values: Sequence[Array] = session.run(OUTPUTS, {PIXELS: pixels, MASK: mask})
        return values

    apart = session(1)
    return Engine(apart if threads == 1 else session(threads), apart, threads)


def _openvino(graph: Path, threads: int, precision: str) -> Engine:
    try:
        openvino: Any = importlib.import_module("openvino")
    except ImportError as error:
        raise EngineError(
            "the engine openvino is not installed. Run: pip install openvino"
        ) from error
    core = openvino.Core()

    def compiled(streams: int) -> Run:
        model = core.compile_model(
            graph,
            "CPU",
            {
                # Stated, because OpenVINO would take bf16 by itself wherever the processor has it.
                "INFERENCE_PRECISION_HINT": precision,
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": streams,
            },
        )
        return functools.partial(run, model)

    def run(model: Any, pixels: Array, mask: Array) -> Sequence[Array]:
        found = model.create_infer_request().infer({PIXELS: pixels, MASK: mask}, share_inputs=True)
        return [np.array(found[name]) for name in OUTPUTS]

    together = compiled(1)
    return Engine(together, together if threads == 1 else compiled(threads), threads)


def _check(engine: str, precision: str) -> None:
    if engine not in ENGINES:
        raise EngineError(f"engine {engine!r} is none of {', '.join(ENGINES)}")
    if engine not in PRECISIONS.get(precision, ()):
        able = [name for name, engines in PRECISIONS.items() if engine in engines]
        raise EngineError(f"{engine} computes in {' or '.join(able)} here, not in {precision!r}")
    if precision == BF16 and not has_bf16():
        raise EngineError(
            "this processor has no bf16 (neither avx512_bf16 nor amx_bf16 in /proc/cpuinfo). Write "
            "the repository anew with: iq-tools repository --precision f32"
        )


ENGINES: Final[dict[str, Callable[[Path, int, str], Engine]]] = {
    ONNXRUNTIME: _onnxruntime,
    OPENVINO: _openvino,
}
