"""`iq-tools build`: an exported tower into a model repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from iq_tools.cli.options import (
    NEW_FOLDER,
    REPOSITORY,
    precision_options,
    report,
    tower_options,
)

if TYPE_CHECKING:
    from iq_tools.layout import Place
    from iq_tools.repository import Statement


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
    precision: str,
    calibration: Path | None,
) -> None:
    """Make a model repository from SAVED_MODEL: `onnx` and `repository` in one step.

    A weight file becomes a SavedModel with: siamese-nima export --weights FILE --output SAVED_MODEL
    """
    from iq_tools.build import build_repository
    from iq_tools.repository import CpuPrecision

    for path in build_repository(
        saved_model,
        output,
        place=place,
        statement=statement,
        precision=CpuPrecision(precision, calibration),
        report=report,
    ):
        click.echo(output / path)
