"""Triton's model `…_tower` for the configuration `embedded`: the ONNX graph on the CPU.

For a server without a backend for ONNX, such as the one inside the wheel `nvidia-pytriton`. All
requests that wait are scored as one batch.
"""

from __future__ import annotations

import functools
import importlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

from .contract import (
    BF16,
    GRAPH_FILES,
    MASK,
    ONNXRUNTIME,
    OPENVINO,
    PIXELS,
    PRECISIONS,
    TOWER_OUTPUTS,
    ContractError,
)
from .identity import check_graph, check_version
from .machine import has_bf16, usable_cores

Array = npt.NDArray[Any]
Engine = Callable[[Array, Array], Sequence[Array]]

OUTPUTS: Final = tuple(TOWER_OUTPUTS)
# Threads that share an operator wait for each other after every one of them, longest where decoding
# takes their cores meanwhile. So a batch is cut into parts of so many images, each on one thread.
_PART: Final = 2


class TritonPythonModel:
    """The interface that Triton's Python backend asks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Checks the graph's identity and loads it into the engine that the configuration names.

        Args:
            args: Triton's; `model_config` is JSON, `model_repository` this model's folder.

        Raises:
            TritonModelException: The version is incomplete or has parts that do not belong
                together, or the engine is unknown or not installed, or cannot compute in the
                precision that the configuration states.
        """
        parameters = {
            key: value["string_value"]
            for key, value in json.loads(args["model_config"])["parameters"].items()
        }
        engine, precision = parameters["engine"], parameters["precision"]
        _check(engine, precision)
        version = Path(args["model_repository"]) / args["model_version"]
        graph = version / GRAPH_FILES[precision]
        if not graph.is_file():
            raise pb_utils.TritonModelException(
                f"{graph} is missing; write it with: iq-tools repository --precision {precision}"
            )
        try:
            check_graph(graph, check_version(version, parameters))
        except ContractError as error:
            raise pb_utils.TritonModelException(str(error)) from error
        threads = int(parameters["threads"]) or usable_cores()
        self._run = ENGINES[engine](graph, threads, precision)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Scores every image of every request.

        Args:
            requests: Each with `PIXELS` uint8 [n,H,W,3] and `MASK` fp32 [n,1].

        Returns:
            One response each: `DISTRIBUTION` fp32 [n,10], `MEAN` and `STD` fp32 [n,1].
        """
        pixels = [_input(request, PIXELS) for request in requests]
        masks = [_input(request, MASK) for request in requests]
        outputs = self._run(_joined(pixels), _joined(masks))
        responses = []
        start = 0
        for mask in masks:
            rows = slice(start, start + len(mask))
            start = rows.stop
            responses.append(
                pb_utils.InferenceResponse(
                    [
                        pb_utils.Tensor(name, values[rows])
                        for name, values in zip(OUTPUTS, outputs, strict=True)
                    ]
                )
            )
        return responses


def _input(request: Any, name: str) -> Array:
    array: Array = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
    return array


def _joined(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _onnxruntime(graph: Path, threads: int, precision: str) -> Engine:
    import onnxruntime

    def session(intra_op: int) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = intra_op
        # The cores belong to the decoding threads as well: a waiting thread must not spin on one.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def run(session: Any, pixels: Array, mask: Array) -> Sequence[Array]:
        values: Sequence[Array] = session.run(OUTPUTS, {PIXELS: pixels, MASK: mask})
        return values

    together = session(threads)
    if threads == 1:
        return functools.partial(run, together)
    apart = session(1)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="score")

    def spread(pixels: Array, mask: Array) -> Sequence[Array]:
        if len(pixels) < threads:
            return run(together, pixels, mask)
        parts = pool.map(
            lambda start: run(apart, pixels[start : start + _PART], mask[start : start + _PART]),
            range(0, len(pixels), _PART),
        )
        return [np.concatenate(values) for values in zip(*parts, strict=True)]

    return spread


def _openvino(graph: Path, threads: int, precision: str) -> Engine:
    try:
        openvino: Any = importlib.import_module("openvino")
    except ImportError as error:
        raise pb_utils.TritonModelException(
            "the engine openvino is not installed. Run: pip install openvino"
        ) from error

    # Stated, because OpenVINO would take bf16 by itself wherever the processor has it.
    model = openvino.Core().compile_model(
        graph,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        },
    )
    request = model.create_infer_request()

    def run(pixels: Array, mask: Array) -> Sequence[Array]:
        found = request.infer({PIXELS: pixels, MASK: mask}, share_inputs=True)
        return [found[name] for name in OUTPUTS]

    return run


def _check(engine: str, precision: str) -> None:
    if engine not in ENGINES:
        raise pb_utils.TritonModelException(f"engine {engine!r} is none of {', '.join(ENGINES)}")
    if engine not in PRECISIONS.get(precision, ()):
        able = [name for name, engines in PRECISIONS.items() if engine in engines]
        raise pb_utils.TritonModelException(
            f"{engine} computes in {' or '.join(able)} here, not in {precision!r}"
        )
    if precision == BF16 and not has_bf16():
        raise pb_utils.TritonModelException(
            "this processor has no bf16 (neither avx512_bf16 nor amx_bf16 in /proc/cpuinfo). Write "
            "the repository anew with: iq-tools repository --precision f32"
        )


ENGINES: Final[dict[str, Callable[[Path, int, str], Engine]]] = {
    ONNXRUNTIME: _onnxruntime,
    OPENVINO: _openvino,
}
