"""The GPU of this machine: what it is, and whether it can be opened."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from iq_tools.contract import PREPROCESS_MODEL, VERSION
from iq_tools.errors import GpuError, InputError

_GPU_PIXELS: Final = "gpu_pixels"


def describe_gpu() -> dict[str, str] | None:
    """Name, compute capability and driver of the GPUs; None where there is none.

    Raises:
        GpuError: There are GPUs of several kinds; a plan is for one.
    """
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
    kinds = list(dict.fromkeys(line.strip() for line in asked.stdout.splitlines() if line.strip()))
    if asked.returncode or not kinds:
        return None
    if len(kinds) > 1:
        raise GpuError(
            f"there are GPUs of several kinds ({'; '.join(kinds)}), and a plan is for one. Give "
            f"each server its own, as with docker run --gpus device=0"
        )
    values = kinds[0].split(",")
    if len(values) != len(fields):
        raise GpuError(f"nvidia-smi says {kinds[0]!r}, not {', '.join(fields)}")
    return dict(zip(fields, (value.strip() for value in values), strict=True))


def require_gpu() -> dict[str, str]:
    """The GPU, as of `describe_gpu`.

    Raises:
        GpuError: There is none, or there are several kinds.
    """
    gpu = describe_gpu()
    if gpu is None:
        raise GpuError("no NVIDIA GPU (nvidia-smi shows none)")
    return gpu


def load_gpu_pixels(repository: Path) -> ModuleType:
    """Imports the GPU's preprocessing from a model repository, as its server does.

    Raises:
        InputError: The repository has none.
    """
    folder = repository / PREPROCESS_MODEL / VERSION
    if not (folder / f"{_GPU_PIXELS}.py").is_file():
        raise InputError(f"{folder} has no {_GPU_PIXELS}.py; write it with: iq-tools repository")
    # The packages that are installed beside the model come last, as in the server.
    sys.path[:0] = [str(folder)]
    sys.path.append(str(folder.parent / "site-packages"))
    return importlib.import_module(_GPU_PIXELS)


def open_device(gpu_pixels: ModuleType) -> Any:
    """The first GPU, as a `gpu_pixels.Device`.

    Raises:
        GpuError: A package or the GPU is missing.
    """
    try:
        return gpu_pixels.cuda_device(0)
    except Exception as error:  # CUDA's, of whichever library meets the missing GPU first
        raise GpuError(
            f"the GPU cannot be used ({type(error).__name__}: {error}). It needs a driver for CUDA "
            f"13 and: pip install nvidia-nvimgcodec-cu13 nvidia-nvjpeg cupy-cuda13x==13.6.0 "
            f"nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cublas"
        ) from error
