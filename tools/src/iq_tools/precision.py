"""The quickest precision that this processor has for a tower and that keeps the order of photos."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from iq_serving.contract import BF16, F32, INT8, OPENVINO, Tower
from iq_serving.machine import has_bf16, has_vnni
from iq_tools.errors import GraphError, ScoresMovedError
from iq_tools.photos import read_photos

# Asked of a precision that nobody named: rank correlation of mean scores with f32.
MIN_SPEARMAN: Final = 0.995


def quickest(
    onnx_file: Path,
    tower: Tower,
    calibration: Path | None,
    *,
    report: Callable[[str], None] = lambda line: None,
) -> tuple[str, bytes | None]:
    """Chooses between bf16, int8 and f32, in this order.

    Args:
        onnx_file: The tower, as `iq-tools onnx` writes it.
        tower: Its description.
        calibration: Folder of real photos, without which int8 is left out.
        report: Receives the choice and its reason.

    Returns:
        One of `PRECISIONS`, and the graph of int8.

    Raises:
        InputError: There are too few photos, or one cannot be read.
    """
    why = "this processor has neither bf16 nor VNNI"
    if has_bf16():
        if find_spec(OPENVINO) is not None:
            report("precision bf16: this processor computes in it")
            return BF16, None
        why = "for bf16, which this processor has, run: pip install openvino"
    if has_vnni():
        if calibration is None:
            why = "int8 takes its scales from real photos, which --calibration names"
        else:
            from iq_tools.graph.int8 import quantize

            photos = read_photos(calibration, tower)
            try:
                graph = quantize(onnx_file, photos, min_spearman=MIN_SPEARMAN, report=report)
            except (GraphError, ScoresMovedError) as error:
                why = str(error)
            else:
                report("precision int8: this processor has VNNI, and the order of photos is kept")
                return INT8, graph
    report(f"precision f32: {why}")
    return F32, None
