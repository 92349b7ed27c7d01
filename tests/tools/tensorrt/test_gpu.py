from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from iq_tools.errors import GpuError
from iq_tools.tensorrt.gpu import describe_gpu, gpu_decoding_problem, open_device, require_gpu


def test_gpus_of_one_kind_are_one(program: Callable[[str, str], None]) -> None:
    program("nvidia-smi", "echo 'NVIDIA L4, 8.9, 590.10'; echo 'NVIDIA L4, 8.9, 590.10'")
    assert describe_gpu() == {"name": "NVIDIA L4", "compute_cap": "8.9", "driver_version": "590.10"}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("echo 'NVIDIA L4, 8.9, 590.10'; echo 'NVIDIA T4, 7.5, 590.10'", "of several kinds"),
        ("echo 'Field compute_cap is not a valid field to query.'", "nvidia-smi says"),
    ],
)
def test_gpus_that_no_single_plan_fits_are_named(
    said: str, reason: str, program: Callable[[str, str], None]
) -> None:
    program("nvidia-smi", said)
    with pytest.raises(GpuError, match=reason):
        describe_gpu()


@pytest.mark.skipif(describe_gpu() is not None, reason="there is a GPU here")
def test_why_the_gpu_cannot_decode_is_told(model_repository: Path) -> None:
    problem = gpu_decoding_problem(model_repository)
    assert problem is not None
    assert problem.startswith("GPU 0 cannot be used")


@pytest.mark.skipif(describe_gpu() is not None, reason="there is a GPU here")
def test_a_missing_gpu_is_an_error_where_one_is_needed() -> None:
    with pytest.raises(GpuError, match="no NVIDIA GPU"):
        require_gpu()
    with pytest.raises(GpuError, match="GPU 0 cannot be used"):
        open_device()
