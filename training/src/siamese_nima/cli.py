"""The command line `siamese-nima`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import track

from siamese_nima.config import RunConfig, load_config
from siamese_nima.errors import SiameseNimaError
from siamese_nima.preprocessing import INTERPOLATIONS


class _Group(click.Group):
    """Turns the errors a user can mend into one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SiameseNimaError, FileNotFoundError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group)
@click.version_option(package_name="siamese-nima")
def main() -> None:
    """Train, evaluate and export Siamese NIMA towers."""


def _run(command: Callable[[RunConfig], None]) -> click.Command:
    """A command that takes a config file and overrides."""

    @main.command(command.__name__, help=command.__doc__)
    @click.argument("config", type=click.Path(path_type=Path))
    @click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key.")
    def run(config: Path, overrides: tuple[str, ...]) -> None:
        command(load_config(config, overrides))

    return run


def _progress(views: Iterator[Any], count: int, title: str) -> Iterator[Any]:
    yield from track(views, f"{title} views", count, console=Console(stderr=True))


@_run
def prepare(config: RunConfig) -> None:
    """Compute the frozen features and the teacher's distributions of every view, once."""
    from siamese_nima.recipe import prepare

    prepare(config, _progress)


@_run
def distil(config: RunConfig) -> None:
    """Teach the tower the teacher's distributions."""
    from siamese_nima.recipe import distil

    _report(distil(config).to_dict(), config.output / "distilled.json")


@_run
def tune(config: RunConfig) -> None:
    """Tune the distilled tower on signed pairs."""
    from siamese_nima.recipe import tune

    _report(tune(config).to_dict(), config.output / "tuned.json")


@main.command()
@click.option("--tower", required=True, help="Name in the registry.")
@click.option("--weights", required=True, type=click.Path(path_type=Path), help="Weight file.")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder.")
@click.option(
    "--interpolation",
    type=click.Choice(list(INTERPOLATIONS)),
    default="bilinear",
    show_default=True,
    help="How the server resizes; towers trained elsewhere with Keras' load_img want nearest.",
)
def export(tower: str, weights: Path, output: Path, interpolation: str) -> None:
    """Write a tower as a SavedModel."""
    from siamese_nima.export import export_saved_model
    from siamese_nima.towers import build_tower, get_tower
    from siamese_nima.weights import load_weights

    chosen = get_tower(tower)
    model = build_tower(chosen)
    load_weights(model, weights)
    export_saved_model(chosen, model, output, interpolation=interpolation)
    click.echo(f"wrote {output}")


def _report(metrics: dict[str, Any], path: Path) -> None:
    text = json.dumps(metrics, indent=2)
    path.write_text(text + "\n")
    click.echo(text)
