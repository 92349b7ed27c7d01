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
def export(tower: str, weights: str, output: Path, interpolation: str | None) -> None:
    """Write a tower as a SavedModel, which says how the server is to resize for it.

    Towers trained elsewhere with Keras' load_img want --interpolation nearest.
    """
    with loading_tensorflow():
        from siamese_nima.export import export_saved_model
        from siamese_nima.towers.weights import load_tower

    loaded = load_tower(weights, tower=tower, interpolation=interpolation or "")
    export_saved_model(loaded.tower, loaded.model, output, interpolation=loaded.interpolation)
    click.echo(f"wrote {output}")
