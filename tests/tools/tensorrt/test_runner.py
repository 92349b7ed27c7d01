from __future__ import annotations

import pytest

from iq_tools.errors import GpuError, MissingToolError
from iq_tools.tensorrt import runner

trt = pytest.importorskip("tensorrt_rtx", reason="needs the extra iq-tools[rtx]")


def test_a_missing_cuda_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_RUNTIMES", ("libno_such_cudart.so",))
    with pytest.raises(MissingToolError, match="none of libno_such_cudart"):
        runner.PlanTower(b"plan", trt)


def test_what_is_no_plan_of_this_tensorrt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_load_cuda", object)  # refused before it is asked for memory
    with pytest.raises(GpuError, match="belongs to another TensorRT or GPU"):
        runner.PlanTower(b"no plan", trt)
