"""`iq-tools repository`: an ONNX graph into a model repository."""

from __future__ import annotations

from pathlib import Path

import click

from iq_serving.layout import Place
from iq_tools.cli.options import (
    FILE,
    NEW_FOLDER,
    REPOSITORY,
    precision_options,
    report,
    tower_options,
)
from iq_tools.repository import CpuPrecision, Statement, write_repository


@click.command()
@click.option("--onnx", "onnx_file", type=FILE, required=True, help="The tower's graph.")
@click.option("--output", type=NEW_FOLDER, default=REPOSITORY, show_default=True)
@tower_options
@precision_options
def repository(
    onnx_file: Path,
    output: Path,
    place: Place,
    statement: Statement,
    precision: CpuPrecision,
) -> None:
    """Lay a tower into a Triton model repository."""
    for path in write_repository(
        onnx_file,
        output,
        place=place,
        statement=statement,
        precision=precision,
        report=report,
    ):
        click.echo(output / path)
