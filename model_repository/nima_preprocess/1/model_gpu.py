"""Triton's model `nima_preprocess` for the configuration `tensorrt`: pixels on the GPU.

As `model.py`, with the same limits, errors and mask; only `PIXELS` lies in the GPU's memory, where
the tower reads it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import triton_python_backend_utils as pb_utils

if TYPE_CHECKING:
    from iq_tools.serving import nima_preprocess as on_host
    from iq_tools.serving.gpu_pixels import Device, GpuDecoder, cpu_device, cuda_device
else:  # the copies that lie beside this file
    import model as on_host
    from gpu_pixels import Device, GpuDecoder, cpu_device, cuda_device

_PACKAGES = (
    "nvidia-nvimgcodec-cu13 nvidia-nvjpeg cupy-cuda13x==13.6.0 fastrlock nvidia-cuda-nvrtc "
    "nvidia-cuda-runtime"
)


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
        parameters = json.loads(args["model_config"])["parameters"]
        device = _open(
            parameters["device"]["string_value"], int(args.get("model_instance_device_id") or 0)
        )
        self._decoder = GpuDecoder(
            device,
            image_size=self._image_size,
            interpolation=self._interpolation,
            limits=self._limits,
            pool=self._pool,
        )
        self._logged = 0

    def execute(self, requests: list[Any]) -> list[Any]:
        """Decodes every file of every request as one batch.

        Args:
            requests: Each with `IMAGE`, bytes [n,1], on the host.

        Returns:
            One response each: `PIXELS` uint8 [n,H,W,3] on the GPU, `MASK` fp32 [n,1] and `ERROR`
            bytes [n,1] on the host.
        """
        batches = [
            pb_utils.get_input_tensor_by_name(request, "IMAGE").as_numpy().reshape(-1)
            for request in requests
        ]
        pixels, errors = self._decoder.decode([file for batch in batches for file in batch])
        self._counter.add(errors)
        self._log()
        responses = []
        start = 0
        for batch in batches:
            rows = slice(start, start + len(batch))
            start = rows.stop
            responses.append(on_host.respond(_tensor("PIXELS", pixels[rows]), errors[rows]))
        return responses

    def _log(self) -> None:
        """Says how many files the host decoded, whenever the number has doubled."""
        total = self._decoder.on_host.total()
        if total >= max(1, 2 * self._logged):
            self._logged = total
            reasons = ", ".join(f"{n} {why}" for why, n in self._decoder.on_host.most_common())
            pb_utils.Logger.log_info(
                f"nima_preprocess: the host decoded {total} files so far: {reasons}"
            )


def _tensor(name: str, values: Any) -> Any:
    # On the GPU only the address changes hands. NumPy's capsules do not bear how Triton renames
    # them: their destructor calls itself without end.
    if isinstance(values, np.ndarray):
        return pb_utils.Tensor(name, values)
    return pb_utils.Tensor.from_dlpack(name, values)


def _open(device: str, index: int) -> Device:
    if device not in ("cuda", "cpu"):
        raise pb_utils.TritonModelException(f"device {device!r} is neither cuda nor cpu")
    try:
        return cuda_device(index) if device == "cuda" else cpu_device()
    except ImportError as error:
        raise pb_utils.TritonModelException(
            f"decoding on the GPU lacks a package ({error}). Into nima_preprocess/site-packages of "
            f"the repository: pip install --no-deps --target ... {_PACKAGES}; or delete "
            f"nima_preprocess/configs/tensorrt.pbtxt, and the host decodes"
        ) from error
    except Exception as error:  # CUDA's, of whichever library meets the missing GPU first
        raise pb_utils.TritonModelException(
            f"decoding on GPU {index} cannot start ({type(error).__name__}: {error}). Without a "
            f"GPU start Triton without --model-config-name=tensorrt"
        ) from error
