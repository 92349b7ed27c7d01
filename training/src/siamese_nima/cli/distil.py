"""`siamese-nima prepare`, `distil` and `tune`: the stages of a distillation."""

from __future__ import annotations

import json
from pathlib import Path

import click

from iq_serving.preprocessing import ImageError
from siamese_nima.cli.options import config_argument, set_option
from siamese_nima.cli.output import write_json
from siamese_nima.cli.tensorflow_loading import loading_tensorflow
from siamese_nima.config import load_config
from siamese_nima.errors import DataError
from siamese_nima.progress import on_terminal


@click.command()
@config_argument
@set_option
def prepare(config: Path, overrides: tuple[str, ...]) -> None:
    """Compute the frozen features and the teacher's distributions of every view, once."""
    with loading_tensorflow():
        from siamese_nima import recipe

    try:
        recipe.prepare(load_config(config, overrides), on_terminal)
    except ImageError as error:
        raise DataError(
            f"a photo cannot be read, {error}. `siamese-nima data check FOLDER --form distortions` "
            "names it"
        ) from error


@click.command()
@config_argument
@set_option
def distil(config: Path, overrides: tuple[str, ...]) -> None:
    """Teach the tower the teacher's distributions."""
    with loading_tensorflow():
        from siamese_nima import recipe

    chosen = load_config(config, overrides)
    _tell(recipe.distil(chosen).to_dict(), chosen.output / "distilled.json")


@click.command()
@config_argument
@set_option
def tune(config: Path, overrides: tuple[str, ...]) -> None:
    """Tune the distilled tower on signed pairs."""
    with loading_tensorflow():
        from siamese_nima import recipe

    chosen = load_config(config, overrides)
    _tell(recipe.tune(chosen).to_dict(), chosen.output / "tuned.json")


def _tell(metrics: dict[str, object], path: Path) -> None:
    write_json(metrics, path)
    click.echo(json.dumps(metrics, indent=2))
