"""Triton's model `…_tower` on the CPU: the step of an ensemble whose server has no ONNX backend.

The configuration `embedded` has it beside `scorer_cpu`, which does the work of both steps. All
requests that wait are scored as one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import triton_python_backend_utils as pb_utils

from .contract import MASK, PIXELS, ContractError
from .engines import OUTPUTS, Array, EngineError, open_engine
from .identity import parameters_of

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
        parameters = parameters_of(args["model_config"])
        version = Path(args["model_repository"]) / args["model_version"]
        try:
            self._engine = open_engine(version, parameters)
        except (ContractError, EngineError) as error:
            raise pb_utils.TritonModelException(str(error)) from error
        self._pool = ThreadPoolExecutor(self._engine.threads, thread_name_prefix="score")

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

    def _run(self, pixels: Array, mask: Array) -> Sequence[Array]:
        """The outputs of a batch: cut into parts where they keep all threads busy."""
        if len(pixels) < self._engine.threads:
            return self._engine.together(pixels, mask)
        parts = self._pool.map(
            lambda start: self._engine.apart(
                pixels[start : start + _PART], mask[start : start + _PART]
            ),
            range(0, len(pixels), _PART),
        )
        return [np.concatenate(values) for values in zip(*parts, strict=True)]

    def finalize(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()


def _input(request: Any, name: str) -> Array:
    array: Array = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
    return array


def _joined(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
