"""`siamese-nima export`: a tower as a SavedModel."""

from __future__ import annotations

from pathlib import Path

import click

from siamese_nima.cli.options import PATH, interpolation_option, tower_option
from siamese_nima.cli.tensorflow_loading import loading_tensorflow


@click.command()
@tower_option
@click.option("--weights", required=True, help="Weight file, or the name of a fetched one.")
@click.option("--output", "-o", required=True, type=PATH, help="Folder.")
@interpolation_option
@click.option("--tower-version", metavar="TEXT", help="Of the tower, such as 0.1.0.")
@click.option("--licence", help="Of the weights, as SPDX expression or sentence.")
def export(
    tower: str,
    weights: str,
    output: Path,
    interpolation: str | None,
    tower_version: str | None,
    licence: str | None,
) -> None:
    """Write a tower as a SavedModel, which says how the server is to resize for it.

    Towers trained elsewhere with Keras' load_img want --interpolation nearest.
    """
    with loading_tensorflow():
        from siamese_nima.export import export_saved_model
        from siamese_nima.towers.weights import load_tower

    loaded = load_tower(weights, tower=tower, interpolation=interpolation or "")
    stated = {"version": tower_version, "licence": licence}
    export_saved_model(
        loaded.tower,
        loaded.model,
        output,
        interpolation=loaded.interpolation,
        facts={key: value for key, value in stated.items() if value is not None},
    )
    click.echo(f"wrote {output}")
