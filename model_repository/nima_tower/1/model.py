"""Triton's model `nima_tower` for the configuration `embedded`: the ONNX graph on the CPU.

For a server without a backend for ONNX, such as the one inside the wheel `nvidia-pytriton`. All
requests that wait are scored as one batch.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import triton_python_backend_utils as pb_utils

Array = npt.NDArray[Any]
Engine = Callable[[Array, Array], Sequence[Array]]

OUTPUTS = ("DISTRIBUTION", "MEAN", "STD")
GRAPH_FILE = "model.onnx"


class TritonPythonModel:
    """The interface that Triton's Python backend asks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the graph into the engine that the configuration names.

        Args:
            args: Triton's; `model_config` is JSON, `model_repository` this model's folder.

        Raises:
            TritonModelException: The engine is unknown or not installed.
        """
        parameters = {
            key: value["string_value"]
            for key, value in json.loads(args["model_config"])["parameters"].items()
        }
        graph = Path(args["model_repository"]) / args["model_version"] / GRAPH_FILE
        threads = int(parameters["threads"]) or len(os.sched_getaffinity(0))
        name = parameters["engine"]
        if name not in ENGINES:
            raise pb_utils.TritonModelException(f"engine {name!r} is none of {', '.join(ENGINES)}")
        self._run = ENGINES[name](graph, threads, parameters["precision"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Scores every image of every request.

        Args:
            requests: Each with `PIXELS` uint8 [n,H,W,3] and `MASK` fp32 [n,1].

        Returns:
            One response each: `DISTRIBUTION` fp32 [n,10], `MEAN` and `STD` fp32 [n,1].
        """
        pixels = [_input(request, "PIXELS") for request in requests]
        masks = [_input(request, "MASK") for request in requests]
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
    _check_precision("onnxruntime", precision, ("f32",))
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # The cores belong to the decoding threads as well: a waiting thread must not spin on one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def run(pixels: Array, mask: Array) -> Sequence[Array]:
        values: Sequence[Array] = session.run(OUTPUTS, {"PIXELS": pixels, "MASK": mask})
        return values

    return run


def _openvino(graph: Path, threads: int, precision: str) -> Engine:
    _check_precision("openvino", precision, ("f32", "bf16"))
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
        found = request.infer({"PIXELS": pixels, "MASK": mask}, share_inputs=True)
        return [found[name] for name in OUTPUTS]

    return run


def _check_precision(engine: str, precision: str, known: tuple[str, ...]) -> None:
    if precision not in known:
        raise pb_utils.TritonModelException(
            f"{engine} computes in {' or '.join(known)} here, not in {precision!r}"
        )


ENGINES: dict[str, Callable[[Path, int, str], Engine]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}
