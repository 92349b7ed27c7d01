"""The GPU of this machine: what it is, and whether it can be opened."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from iq_serving.contract import ENSEMBLE_MODEL, PREPROCESS_MODEL, VERSION
from iq_serving.gpu_pixels import Device, DeviceError, open_gpu
from iq_serving.layout import Place
from iq_tools.errors import GpuError


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


def open_device() -> Device:
    """Opens the first GPU for decoding, as the server does.

    Raises:
        GpuError: A package or the GPU is missing.
    """
    try:
        return open_gpu(0)
    except DeviceError as error:
        raise GpuError(str(error)) from error


def gpu_decoding_problem(repository: Path, ensemble: str = ENSEMBLE_MODEL) -> str | None:
    """The reason why photos cannot be decoded on the GPU; None where they can.

    Tried in a process of its own, with the repository's own code, as the server does: the model
    would fail to load, and Triton would not start.
    """
    tried = subprocess.run(
        [sys.executable, "-m", "iq_serving.gpu_probe"],
        cwd=repository / Place(ensemble).model(PREPROCESS_MODEL) / VERSION,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if tried.returncode == 0:
        return None
    lines = [line for line in tried.stderr.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"the attempt ended with status {tried.returncode}"
