"""`iq-tools build`: an exported tower into a model repository."""

from __future__ import annotations

from pathlib import Path

import click

from iq_serving.layout import Place
from iq_tools.cli.options import (
    NEW_FOLDER,
    REPOSITORY,
    precision_options,
    report,
    tower_options,
)
from iq_tools.repository import CpuPrecision, Statement


@click.command()
@click.argument("saved_model", type=click.Path(path_type=Path))
@click.option("--output", type=NEW_FOLDER, default=REPOSITORY, show_default=True)
@tower_options
@precision_options
def build(
    saved_model: Path,
    output: Path,
    place: Place,
    statement: Statement,
    precision: CpuPrecision,
) -> None:
    """Make a model repository from SAVED_MODEL: `onnx` and `repository` in one step.

    A weight file becomes a SavedModel with: siamese-nima export --weights FILE --output SAVED_MODEL
    """
    from iq_tools.build import build_repository

    for path in build_repository(
        saved_model,
        output,
        place=place,
        statement=statement,
        precision=precision,
        report=report,
    ):
        click.echo(output / path)
