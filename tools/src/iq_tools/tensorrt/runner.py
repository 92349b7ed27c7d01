"""A TensorRT plan, run on the GPU without another library around CUDA."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from iq_serving.contract import MASK, PIXELS, TOWER_OUTPUTS
from iq_tools.errors import GpuError, MissingToolError
from iq_tools.graph.parity import Scores
from iq_tools.measure.timing import rate

_RUNTIMES: Final = ("libcudart.so", "libcudart.so.13", "libcudart.so.12")
_HOST_TO_DEVICE: Final = 1
_DEVICE_TO_HOST: Final = 2
# Queued between two looks at the clock.
_EXECUTIONS: Final = 10


def _load_cuda() -> ctypes.CDLL:
    for name in _RUNTIMES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise MissingToolError(f"none of {', '.join(_RUNTIMES)} can be loaded; install CUDA's runtime")


class PlanTower:
    """A tower's plan in an execution context of its own."""

    def __init__(self, plan: bytes | Path, trt: ModuleType) -> None:
        """Loads the plan.

        Args:
            plan: The serialised engine, or its file.
            trt: The TensorRT module that it was built with.

        Raises:
            MissingToolError: CUDA's runtime is not there.
            GpuError: There is no GPU, or the plan is another TensorRT's or GPU's.
        """
        self._cuda = _load_cuda()
        runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        data = plan.read_bytes() if isinstance(plan, Path) else plan
        engine = runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise GpuError(
                "the plan cannot be loaded: it belongs to another TensorRT or GPU, or there is no "
                "GPU. Build it where it is served: iq-tools plan"
            )
        self._runtime, self._engine = runtime, engine
        self._context = engine.create_execution_context()

    def score(self, pixels: npt.NDArray[np.uint8]) -> Scores:
        """Scores uint8 [N,H,W,3], N within the plan's profile; fp32 arrays by name."""
        outputs = {
            name: np.empty((len(pixels), width), np.float32)
            for name, width in TOWER_OUTPUTS.items()
        }
        with self._bound(pixels, outputs) as device:
            self._execute(len(pixels))
            self._check(self._cuda.cudaDeviceSynchronize())
            for name, array in outputs.items():
                self._copy(_pointer(array), device[name], array.nbytes, _DEVICE_TO_HOST)
        return outputs

    def speed(self, pixels: npt.NDArray[np.uint8], seconds: float) -> float:
        """Images per second of the plan alone: inputs and outputs stay in the GPU's memory."""
        size = len(pixels)
        outputs = {
            name: np.empty((size, width), np.float32) for name, width in TOWER_OUTPUTS.items()
        }

        def score() -> int:
            for _ in range(_EXECUTIONS):
                self._execute(size)
            self._check(self._cuda.cudaDeviceSynchronize())
            return size * _EXECUTIONS

        with self._bound(pixels, outputs):
            return rate(score, seconds)

    @contextmanager
    def _bound(
        self, pixels: npt.NDArray[np.uint8], outputs: Scores
    ) -> Iterator[dict[str, ctypes.c_void_p]]:
        """Memory on the GPU for a batch, with the inputs in it."""
        host: dict[str, npt.NDArray[Any]] = {
            PIXELS: np.ascontiguousarray(pixels),
            MASK: np.ones((len(pixels), 1), np.float32),
        }
        device: dict[str, ctypes.c_void_p] = {}
        try:
            for name, array in (host | outputs).items():
                device[name] = self._allocate(array.nbytes)
                self._context.set_tensor_address(name, device[name].value)
            for name, array in host.items():
                self._context.set_input_shape(name, array.shape)
                self._copy(device[name], _pointer(array), array.nbytes, _HOST_TO_DEVICE)
            yield device
        finally:
            for pointer in device.values():
                self._cuda.cudaFree(pointer)

    def _execute(self, size: int) -> None:
        if not self._context.execute_async_v3(0):
            raise GpuError(f"the plan does not run for a batch of {size}")

    def _allocate(self, size: int) -> ctypes.c_void_p:
        pointer = ctypes.c_void_p()
        self._check(self._cuda.cudaMalloc(ctypes.byref(pointer), ctypes.c_size_t(size)))
        return pointer

    def _copy(self, target: ctypes.c_void_p, source: ctypes.c_void_p, size: int, kind: int) -> None:
        self._check(self._cuda.cudaMemcpy(target, source, ctypes.c_size_t(size), kind))

    def _check(self, status: int) -> None:
        if status:
            describe = self._cuda.cudaGetErrorString
            describe.restype = ctypes.c_char_p
            raise GpuError(f"CUDA: {describe(status).decode()}")


def _pointer(array: npt.NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
