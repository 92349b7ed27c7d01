"""Triton's model `…_preprocess` for the configuration `tensorrt`: pixels on the GPU.

As `preprocess_host`, with the same limits, errors and mask, and files that take long answered
apart; only `PIXELS` lies in the GPU's memory, where the tower reads it.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from . import preprocess_host as on_host  # first: it finds the packages that the others need
from .contract import IMAGE, PIXELS
from .gpu_pixels import Batch, Device, DeviceError, GpuDecoder, cpu_device, open_gpu
from .identity import parameters_of


class TritonPythonModel(on_host.TritonPythonModel):
    """The interface that Triton's Python backend asks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the GPU beside what the model on the host reads.

        Args:
            args: Triton's.

        Raises:
            TritonModelException: A package or the GPU is missing, or the repository was put
                together from parts that do not fit.
        """
        super().initialize(args)
        config = json.loads(args["model_config"])
        self._name = config["name"]
        device = _open(
            self._name,
            parameters_of(args["model_config"])["device"],
            int(args.get("model_instance_device_id") or 0),
        )
        self._decoder = GpuDecoder(device, self._host)
        self._logged = 0

    def execute(self, requests: list[Any]) -> list[Any]:
        """Decodes every file of every request as one batch.

        Args:
            requests: Each with `IMAGE`, bytes [n,1], on the host.

        Returns:
            One response each: `PIXELS` uint8 [n,H,W,3] on the GPU, `MASK` fp32 [n,1] and `ERROR`
            bytes [n,1] on the host; None where it is sent later.
        """
        files: list[bytes] = []
        rows = []
        for request in requests:
            start = len(files)
            files += list(pb_utils.get_input_tensor_by_name(request, IMAGE).as_numpy().reshape(-1))
            rows.append(range(start, len(files)))
        batch = self._decoder.start(files)
        self._log()
        return [
            self._respond(request, batch.tasks(part), partial(self._response_of, batch, part))
            for request, part in zip(requests, rows, strict=True)
        ]

    def _response_of(self, batch: Batch, rows: range) -> Any:
        pixels, errors = self._decoder.finish(batch, rows)
        self._counter.add(errors)
        return on_host.respond(_tensor(PIXELS, pixels), errors)

    def _log(self) -> None:
        """Says how many files the host decoded, whenever the number has doubled."""
        total = self._decoder.on_host.total()
        if total >= max(1, 2 * self._logged):
            self._logged = total
            reasons = ", ".join(f"{n} {why}" for why, n in self._decoder.on_host.most_common())
            pb_utils.Logger.log_info(
                f"{self._name}: the host decoded {total} files so far: {reasons}"
            )


def _tensor(name: str, values: Any) -> Any:
    # On the GPU only the address changes hands. NumPy's capsules do not bear how Triton renames
    # them: their destructor calls itself without end.
    if isinstance(values, np.ndarray):
        return pb_utils.Tensor(name, values)
    return pb_utils.Tensor.from_dlpack(name, values)


def _open(model: str, device: str, index: int) -> Device:
    if device not in ("cuda", "cpu"):
        raise pb_utils.TritonModelException(f"device {device!r} is neither cuda nor cpu")
    try:
        return open_gpu(index) if device == "cuda" else cpu_device()
    except DeviceError as error:
        raise pb_utils.TritonModelException(
            f"{error}. Packages may lie beside the model (--target {model}/site-packages). "
            f"To decode on the host delete {model}/configs/tensorrt.pbtxt; without a GPU "
            f"start Triton without --model-config-name=tensorrt"
        ) from error
