"""`iq-tools onnx`: a SavedModel to ONNX."""

from __future__ import annotations

from pathlib import Path

import click

from iq_serving.contract import ONNX_FILE
from iq_tools.cli.options import NEW_FILE


@click.command()
@click.argument("saved_model", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=NEW_FILE, default=Path(ONNX_FILE), show_default=True)
def onnx(saved_model: Path, output: Path) -> None:
    """Convert SAVED_MODEL to ONNX; refuse where it computes something else."""
    from iq_tools.graph.convert import convert

    difference = convert(saved_model, output)
    click.echo(f"{output}: largest difference from the SavedModel {difference:.2g}")
