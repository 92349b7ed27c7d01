"""`siamese-nima predict`: photos scored and ranked, as a table."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from siamese_nima.cli.options import PATH, applied, field_options, images_argument, model_options
from siamese_nima.cli.output import write_json
from siamese_nima.cli.tensorflow_loading import loading_tensorflow
from siamese_nima.data import DataConfig
from siamese_nima.data.photos import find_photos
from siamese_nima.data.tables import read_names
from siamese_nima.progress import on_terminal


@click.command()
@images_argument
@model_options()
@lambda command: applied(
    command,
    field_options(
        DataConfig,
        ["file", "separator", "file_column", "suffix"],
        helps={"file": "Names of photos.  [default: every photo]"},
    ),
)
@click.option(
    "--output",
    "-o",
    type=PATH,
    help="CSV, or Parquet where the name ends so.  [default: CSV on stdout]",
)
@click.option(
    "--quantiles",
    type=PATH,
    metavar="FILE",
    help="Also write the quantiles of the means, which `iq-tools build --quantiles` takes.",
)
@click.option(
    "--quantiles-of", metavar="TEXT", help="Name of the photos.  [default: that of the folder]"
)
def predict(
    images: Path,
    model: str,
    tower: str,
    interpolation: str | None,
    output: Path | None,
    quantiles: Path | None,
    quantiles_of: str | None,
    file: Path | None,
    separator: str,
    file_column: str,
    suffix: str,
) -> None:
    """Score the photos of IMAGES that FILE names, and rank them, as a table.

    Fails, after it wrote the others, if a photo could not be scored.
    """
    from siamese_nima.evaluate.prediction import mean_quantiles, predict, write_table
    from siamese_nima.evaluate.scorers import open_scorer

    if file is None:
        paths = find_photos([images])
    else:
        names = DataConfig("labels", images, file, separator, file_column, suffix=suffix)
        paths = read_names(names)
    with loading_tensorflow():
        scorer = open_scorer(model, tower=tower, interpolation=interpolation or "")
    frame = predict(paths, scorer, on_terminal)
    write_table(frame, output or sys.stdout)
    if quantiles:
        write_json(mean_quantiles(frame, quantiles_of or images.resolve().name), quantiles)
    if failed := int(frame["mean"].isna().sum()):
        raise click.ClickException(f"{failed} of {len(frame)} photos could not be scored")
