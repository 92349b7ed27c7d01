from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from iq_tools.errors import MissingToolError
from iq_tools.graph.fp16 import to_fp16
from iq_tools.graph.tower import read_tower
from iq_tools.tensorrt.builders import find_builder
from iq_tools.tensorrt.plan import PlanOptions


def test_every_option_reaches_trtexec(
    onnx_file: Path, tmp_path: Path, program: Callable[[str, str], None], fake_trtexec: str
) -> None:
    asked = tmp_path / "asked"
    program("trtexec", f'printf "%s\\n" "$@" > {asked}\nexec {fake_trtexec} "$@"')
    options = PlanOptions(
        min_batch=2, opt_batch=4, max_batch=8, workspace_mib=256, version_compatible=True,
        hardware_compatible=True, timing_cache=tmp_path / "timing.cache",
    )  # fmt: skip
    graph = to_fp16(onnx.load(onnx_file)).SerializeToString()
    find_builder("trtexec").build(graph, read_tower(onnx_file), options, lambda line: None)
    assert {
        "--minShapes=PIXELS:2x24x32x3,MASK:2x1",
        "--optShapes=PIXELS:4x24x32x3,MASK:4x1",
        "--maxShapes=PIXELS:8x24x32x3,MASK:8x1",
        "--memPoolSize=workspace:256",
        "--stronglyTyped",
        "--versionCompatible",
        "--hardwareCompatibilityLevel=ampere+",
        f"--timingCacheFile={tmp_path / 'timing.cache'}",
        "--profilingVerbosity=detailed",
    } <= set(asked.read_text().splitlines())


def test_another_program_is_refused(program: Callable[[str, str], None]) -> None:
    program("trtexec", "echo hello")
    with pytest.raises(MissingToolError, match="does not say its version: 'hello"):
        find_builder("trtexec")
