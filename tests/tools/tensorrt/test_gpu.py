from __future__ import annotations

from collections.abc import Callable

import pytest

from iq_tools.errors import GpuError
from iq_tools.tensorrt.gpu import describe_gpu


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
