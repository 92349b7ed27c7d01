"""A model repository made from an exported tower in one step."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from iq_serving.contract import ONNX_FILE
from iq_serving.layout import Place
from iq_tools.graph.convert import convert
from iq_tools.repository import CpuPrecision, Statement, write_repository

_PLACE: Final = Place()
_STATEMENT: Final = Statement()
_F32: Final = CpuPrecision()


def build_repository(
    saved_model: Path,
    output: Path,
    *,
    place: Place = _PLACE,
    statement: Statement = _STATEMENT,
    precision: CpuPrecision = _F32,
    report: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Converts an exported tower to ONNX and lays it into a repository.

    Args:
        saved_model: What `siamese-nima export` wrote.
        output: The repository's folder.
        place: The ensemble and version that it becomes.
        statement: Facts about the tower that it does not say itself.
        precision: What the tower computes in on a CPU.
        report: Receives a line before each step.

    Returns:
        The files written, relative to the folder.

    Raises:
        IQToolsError: As of `convert` and `write_repository`; the message says which step refuses
            and why.
    """
    with tempfile.TemporaryDirectory() as name:
        onnx_file = Path(name, ONNX_FILE)
        report(f"convert {saved_model} to ONNX and compare")
        difference = convert(saved_model, onnx_file)
        report(f"largest difference from the SavedModel {difference:.2g}")
        return write_repository(
            onnx_file,
            output,
            place=place,
            statement=statement,
            precision=precision,
            report=report,
        )
