"""The command `iq-tools`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from iq_tools.contract import ContractError

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEW_FILE = click.Path(dir_okay=False, path_type=Path)
_NEW_FOLDER = click.Path(file_okay=False, path_type=Path)


class _Commands(click.Group):
    """Shows what a person can mend as a message, not as a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ContractError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands)
def main() -> None:
    """From a trained tower to a Triton model repository."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's greetings are no result


@main.command("onnx")
@click.argument("saved_model", type=_FOLDER)
@click.option("-o", "--output", type=_NEW_FILE, default=Path("model.onnx"), show_default=True)
def onnx_command(saved_model: Path, output: Path) -> None:
    """Convert SAVED_MODEL to ONNX; refuse where it computes something else."""
    from iq_tools.onnx_export import convert

    difference = convert(saved_model, output)
    click.echo(f"{output}: largest difference from the SavedModel {difference:.2g}")


@main.command("repository")
@click.option("--onnx", "onnx_file", type=_FILE, required=True, help="The tower's graph.")
@click.option("--output", type=_NEW_FOLDER, default=Path("model_repository"), show_default=True)
@click.option(
    "--preprocessing", type=_FILE, help="preprocessing.py to serve with; default: the installed one"
)
def repository_command(onnx_file: Path, output: Path, preprocessing: Path | None) -> None:
    """Lay a tower into a Triton model repository."""
    from iq_tools.repository import write_repository

    for path in write_repository(onnx_file, output, preprocessing=preprocessing):
        click.echo(output / path)
