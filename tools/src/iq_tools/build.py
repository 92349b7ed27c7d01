"""From a weight file to a model repository in one step."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from iq_serving.contract import ONNX_FILE, ContractError

if TYPE_CHECKING:
    from iq_tools.repository import CpuPrecision

_EXPORTER: Final = "siamese-nima"
_LINES_OF_AN_ERROR: Final = 10


def build_repository(
    tower: str | None,
    weights: str,
    output: Path,
    *,
    interpolation: str | None = None,
    precision: CpuPrecision | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Exports a tower of the registry, converts it and lays it into a repository.

    Args:
        tower: Its name in the registry; None for what is known of the weights.
        weights: A weight file that fits it, or the name of one that was fetched.
        output: The repository's folder.
        interpolation: How the server resizes: `bilinear` or `nearest`; None for what is known of
            the weights.
        precision: What the tower computes in on a CPU; None for f32.
        report: Receives a line before each step.

    Returns:
        The files written, relative to the folder.

    Raises:
        ContractError: A step refuses; the message says which and why.
    """
    from iq_tools.onnx_export import convert
    from iq_tools.repository import CpuPrecision, write_repository

    with tempfile.TemporaryDirectory() as name:
        saved_model, onnx_file = Path(name, "saved_model"), Path(name, ONNX_FILE)
        report(f"{_EXPORTER} export --weights {weights}")
        _export(tower, weights, saved_model, interpolation)
        report("convert to ONNX and compare")
        difference = convert(saved_model, onnx_file)
        report(f"largest difference from the SavedModel {difference:.2g}")
        return write_repository(
            onnx_file, output, precision=precision or CpuPrecision(), report=report
        )


def _export(tower: str | None, weights: str, output: Path, interpolation: str | None) -> None:
    # The rooms meet in files and commands, not in imports.
    beside = Path(sys.executable).with_name(_EXPORTER)
    program = shutil.which(_EXPORTER) or (str(beside) if beside.is_file() else None)
    if program is None:
        raise ContractError(f"{_EXPORTER} is not installed, which exports towers")
    chosen = {"--tower": tower, "--interpolation": interpolation}
    options = [part for option, value in chosen.items() if value for part in (option, value)]
    done = subprocess.run(
        [program, "export", "--weights", weights, *options, "--output", str(output)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-_LINES_OF_AN_ERROR:])
        raise ContractError(f"{_EXPORTER} export failed with status {done.returncode}:\n{tail}")
