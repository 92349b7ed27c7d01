"""The command line `siamese-nima`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from iq_serving.contract import INTERPOLATIONS
from siamese_nima.config import RunConfig, load_config, read_config
from siamese_nima.data.samples import FORMS
from siamese_nima.errors import SiameseNimaError


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
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's greetings are no result


_OVERRIDES = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key."
)


def _run(command: Callable[[RunConfig], None]) -> click.Command:
    """A command that takes a config file and overrides."""

    @main.command(command.__name__, help=command.__doc__)
    @click.argument("config", type=click.Path(path_type=Path))
    @_OVERRIDES
    def run(config: Path, overrides: tuple[str, ...]) -> None:
        command(load_config(config, overrides))

    return run


def _track(items: Iterable[Any], count: int, title: str) -> Iterator[Any]:
    yield from track(items, title, count, console=Console(stderr=True))


@_run
def prepare(config: RunConfig) -> None:
    """Compute the frozen features and the teacher's distributions of every view, once."""
    from siamese_nima.recipe import prepare

    prepare(config, _track)


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
@click.option("--tower", default="", help="Name in the registry; default: what the weights say.")
@click.option("--weights", required=True, help="Weight file, or the name of a fetched one.")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder.")
@click.option(
    "--interpolation",
    type=click.Choice(INTERPOLATIONS),
    help="How the server resizes; default: what the weights say, else bilinear. Towers trained "
    "elsewhere with Keras' load_img want nearest.",
)
def export(tower: str, weights: str, output: Path, interpolation: str | None) -> None:
    """Write a tower as a SavedModel."""
    from siamese_nima.export import export_saved_model
    from siamese_nima.weights import load_tower

    loaded = load_tower(weights, tower=tower, interpolation=interpolation or "")
    export_saved_model(loaded.tower, loaded.model, output, interpolation=loaded.interpolation)
    click.echo(f"wrote {output}")


@main.command()
@click.argument("config", type=click.Path(path_type=Path))
@_OVERRIDES
@click.option("--resume", is_flag=True, help="Go on with the run in the output folder.")
@click.option("--cache-features", is_flag=True, help="Compute the frozen part once.")
@click.option(
    "--strategy", help="On which devices: none, mirrored, or multi_worker, named by TF_CONFIG."
)
@click.option("--tensorboard", is_flag=True, help="Write events for TensorBoard.")
def train(
    config: Path,
    overrides: tuple[str, ...],
    resume: bool,
    cache_features: bool,
    strategy: str | None,
    tensorboard: bool,
) -> None:
    """Train a tower on votes and on pairs, as CONFIG says."""
    from siamese_nima.training import TrainConfig, summary, train

    asked = {
        "cache_features=true": cache_features,
        f"strategy={strategy}": strategy,
        "tensorboard=true": tensorboard,
    }
    # An option says the same as the key of its name.
    overrides += tuple(override for override, given in asked.items() if given)
    chosen = read_config(TrainConfig, config, overrides)
    position = train(chosen, resume=resume, console=Console(stderr=True))
    click.echo(json.dumps(summary(position), indent=2))


def _data_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options that describe a set of labelled photos, one for each key of `DataConfig`."""
    for option in reversed(
        [
            click.option(
                "--form",
                type=click.Choice(list(FORMS)),
                default="labels",
                show_default=True,
                help="What the file holds.",
            ),
            click.option("--file", type=click.Path(path_type=Path), help="The labels."),
            click.option(
                "--separator", default="", help="Between columns; found out if not given."
            ),
            click.option("--file-column", default="file_name", show_default=True),
            click.option("--label-column", default="", help="Default: label or mean."),
            click.option("--std-column", default="", help="Standard deviations; default: none."),
            click.option("--suffix", default=".jpg", help="Added to names without one."),
            click.option("--lowest", default=1.0, show_default=True, help="Of the scale of means."),
            click.option("--highest", default=10.0, show_default=True, help="Of the same scale."),
            click.option(
                "--max-bad-share",
                type=click.FloatRange(0, 1),
                default=0.01,
                show_default=True,
                help="Stop if a larger share of the rows is bad.",
            ),
        ]
    ):
        command = option(command)
    return command


_PROBLEMS_SHOWN = 20
_BAR = 40  # characters

_IMAGES = click.argument("images", type=click.Path(path_type=Path))
_JSON = click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write it all.")


@main.group()
def data() -> None:
    """Look at labelled photos."""


@data.command()
@_IMAGES
@_data_options
@_JSON
def check(images: Path, json_file: Path | None, **options: Any) -> None:
    """Read every label and every photo under IMAGES, and report what is wrong.

    Fails if more than --max-bad-share of the rows is bad.
    """
    from siamese_nima.data import DataConfig, inspect

    config = DataConfig(images=images, **options)
    inspection = inspect(config, _track)
    found = inspection.to_dict()
    if json_file:
        json_file.write_text(json.dumps(found, indent=2) + "\n")
    problems = found["problems"]
    for problem in problems[:_PROBLEMS_SHOWN]:
        click.echo(f"{problem['where']}: {problem['code']}: {problem['text']}")
    if (more := len(problems) - _PROBLEMS_SHOWN) > 0:
        click.echo(f"and {more} more problems: --json FILE lists them all")
    click.echo(_summary(found))
    inspection.require(config.max_bad_share)


def _summary(found: dict[str, Any]) -> str:
    """What `data check` found, for people."""
    counts = {"good": found["good"], **found["problem_counts"], "copies": len(found["copies"])}
    lines = [", ".join(f"{name} {count}" for name, count in counts.items())]
    lines += [f"bad share {found['bad_share']:.4f}", "", f"{'score':14} count"]
    most = max((row["count"] for row in found["histogram"]), default=1)
    for row in found["histogram"]:
        score = f"{row['score']:g}" if "score" in row else f"{row['from']:.2f} … {row['to']:.2f}"
        bar = "█" * round(_BAR * row["count"] / most)
        lines.append(f"{score:14} {row['count']:5} {bar}")
    return "\n".join(lines)


def _model_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--interpolation",
            type=click.Choice(INTERPOLATIONS),
            help="How photos are resized; for weight files only. Default: what the file's record "
            "says, else bilinear.",
        ),
        click.option(
            "--tower",
            default="",
            help="Name in the registry; for weight files without a record only.",
        ),
        click.option(
            "--model",
            "--weights",
            "model",
            required=True,
            help="Weight file or the name of a fetched one, SavedModel folder, .onnx file or "
            "grpc://HOST:PORT.",
        ),
    ):
        command = option(command)
    return command


@main.command()
@_IMAGES
@_model_options
@click.option("--file", type=click.Path(path_type=Path), help="Names; default: every photo.")
@click.option("--separator", default="", help="Between columns; found out if not given.")
@click.option("--file-column", default="file_name", show_default=True)
@click.option("--suffix", default=".jpg", help="Added to names without one.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="CSV, or Parquet where the name ends so; default: CSV on stdout.",
)
def predict(
    images: Path,
    model: str,
    tower: str,
    interpolation: str | None,
    output: Path | None,
    file: Path | None,
    **options: str,
) -> None:
    """Score the photos of IMAGES that FILE names, and rank them, as a table.

    Fails, after it wrote the others, if a photo could not be scored.
    """
    from siamese_nima.data import DataConfig
    from siamese_nima.data.tables import read_names
    from siamese_nima.photos import find_photos
    from siamese_nima.prediction import predict, write_table
    from siamese_nima.scoring import open_scorer

    if file is None:
        paths = find_photos([images])
    else:
        paths = read_names(DataConfig("labels", images, file, **options))  # type: ignore[arg-type]
    scorer = open_scorer(model, tower=tower, interpolation=interpolation or "")
    frame = predict(paths, scorer, _track)
    write_table(frame, output or sys.stdout)
    if failed := int(frame["mean"].isna().sum()):
        raise click.ClickException(f"{failed} of {len(frame)} photos could not be scored")


@main.command()
@_IMAGES
@_model_options
@_data_options
@click.option("--resamples", default=200, show_default=True, help="Of the bootstrap.")
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@_JSON
@click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path),
    help="Draw it all: one .html page, or a .png of its pictures.",
)
def evaluate(
    images: Path,
    model: str,
    tower: str,
    interpolation: str | None,
    resamples: int,
    seed: int,
    json_file: Path | None,
    report_file: Path | None,
    **options: Any,
) -> None:
    """Compare a model's scores with the labels of the photos under IMAGES."""
    from siamese_nima.agreement import agreement
    from siamese_nima.data import DataConfig, inspect
    from siamese_nima.prediction import score_samples
    from siamese_nima.report import Evaluation, require_report, write_report
    from siamese_nima.scoring import open_scorer

    if report_file:
        require_report(report_file)
    scorer = open_scorer(model, tower=tower, interpolation=interpolation or "")
    config = DataConfig(images=images, **options)
    inspection = inspect(config, _track)
    inspection.require(config.max_bad_share)
    distributions = score_samples(inspection.samples, scorer, _track)
    metrics = agreement(inspection.samples, distributions, resamples=resamples, seed=seed)
    click.echo(f"{model} on {images}")
    table = Table("metric", "value", "95 % interval", "n")
    for name, metric in metrics.items():
        interval = f"{metric.low:.4f} – {metric.high:.4f}"
        table.add_row(name, f"{metric.value:.4f}", interval, str(metric.count))
    Console().print(table)
    if json_file:
        found = {
            "model": model,
            "images": str(images),
            "bad_share": inspection.bad_share,
            "metrics": {name: metric.to_dict() for name, metric in metrics.items()},
        }
        json_file.write_text(json.dumps(found, indent=2) + "\n")
    if report_file:
        samples = inspection.samples
        write_report(Evaluation(model, str(images), samples, distributions, metrics), report_file)


def _report(metrics: dict[str, Any], path: Path) -> None:
    text = json.dumps(metrics, indent=2)
    path.write_text(text + "\n")
    click.echo(text)
