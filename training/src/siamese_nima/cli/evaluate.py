"""`siamese-nima evaluate`: a model's scores against labels, or two models' on the same photos."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from siamese_nima.cli.options import (
    PATH,
    data_options,
    images_argument,
    json_option,
    model_options,
)
from siamese_nima.cli.output import write_json
from siamese_nima.cli.tensorflow_loading import loading_tensorflow
from siamese_nima.data import DataConfig, inspect
from siamese_nima.progress import on_terminal

if TYPE_CHECKING:
    from siamese_nima.evaluate.agreement import Metric


@click.command()
@images_argument
@model_options(multiple=True)
@data_options
@click.option(
    "--only",
    type=PATH,
    metavar="FILE",
    help="Judge by these photos only, one path a line: a run's held_out.txt.",
)
@click.option(
    "--resamples",
    type=click.IntRange(1),
    default=200,
    show_default=True,
    help="Of the bootstrap.",
)
@click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")
@click.option(
    "--stability", is_flag=True, help="Also how far means move where people see no difference."
)
@json_option
@click.option(
    "--report",
    "report_file",
    type=PATH,
    help="Draw it all: one .html page, or a .png of its pictures.",
)
def evaluate(
    images: Path,
    model: tuple[str, ...],
    tower: str,
    interpolation: str | None,
    only: Path | None,
    resamples: int,
    seed: int,
    stability: bool,
    json_file: Path | None,
    report_file: Path | None,
    **options: Any,
) -> None:
    """Compare a model's scores with the labels of the photos under IMAGES.

    With two models, each metric is also given as the first's minus the second's, with an interval
    that is paired: both are judged by the same draws of photos. A difference whose interval holds
    0 is within noise.
    """
    from siamese_nima.evaluate.agreement import agreement, differences, within_noise
    from siamese_nima.evaluate.prediction import score_samples
    from siamese_nima.evaluate.report import Evaluation, require_report, write_report
    from siamese_nima.evaluate.scorers import open_scorer
    from siamese_nima.evaluate.selection import select
    from siamese_nima.evaluate.stability import stability as stabilities

    if len(model) > 2:
        raise click.UsageError("--model: two models can be compared, not more")
    if report_file:
        if len(model) == 2:
            raise click.UsageError("--report draws one model: give one --model")
        require_report(report_file)
    with loading_tensorflow():
        scorers = [
            open_scorer(each, tower=tower, interpolation=interpolation or "") for each in model
        ]
    config = DataConfig(images=images, **options)
    inspection = inspect(config, on_terminal)
    inspection.require(config.max_bad_share)
    samples = select(inspection.samples, only, images) if only else inspection.samples
    photos = len({sample.path for sample in samples})
    predicted = [score_samples(samples, scorer, on_terminal) for scorer in scorers]
    metrics = [agreement(samples, each, resamples=resamples, seed=seed) for each in predicted]
    if stability:
        files = list(dict.fromkeys(sample.path for sample in samples))
        for found_here, scorer in zip(metrics, scorers, strict=True):
            found_here |= stabilities(
                files, scorer, resamples=resamples, seed=seed, progress=on_terminal
            )
    click.echo(f"{' and '.join(model)} on {photos} photos of {images}")
    found: dict[str, Any] = {
        "images": str(images),
        "only": str(only) if only else None,
        "photos": photos,
        "bad_share": inspection.bad_share,
    }
    if len(model) == 1:
        _print(metrics[0])
        found |= {"model": model[0], "metrics": _json(metrics[0])}
    else:
        apart = differences(*metrics)
        verdicts = {name: within_noise(each) for name, each in apart.items()}
        _print_differences(metrics[0], metrics[1], apart, verdicts)
        found["models"] = [
            {"model": name, "metrics": _json(each)}
            for name, each in zip(model, metrics, strict=True)
        ]
        found["differences"] = {
            name: {**each.to_dict(), "within_noise": verdicts[name]} for name, each in apart.items()
        }
    if json_file:
        write_json(found, json_file)
    if report_file:
        evaluation = Evaluation(model[0], str(images), samples, predicted[0], metrics[0])
        write_report(evaluation, report_file)


def _json(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    return {name: metric.to_dict() for name, metric in metrics.items()}


def _print(metrics: Mapping[str, Metric]) -> None:
    """The metrics of one model, for people."""
    table = Table("metric", "value", "95 % interval", "n")
    for name, metric in metrics.items():
        table.add_row(name, f"{metric.value:.4f}", _interval(metric), str(metric.count))
    Console().print(table)


def _print_differences(
    first: Mapping[str, Metric],
    second: Mapping[str, Metric],
    apart: Mapping[str, Metric],
    noise: Mapping[str, bool],
) -> None:
    """The metrics of two models side by side, for people."""
    table = Table("metric", "first", "second", "difference", "95 % interval", "n")
    for name, difference in apart.items():
        table.add_row(
            name,
            f"{first[name].value:.4f}",
            f"{second[name].value:.4f}",
            f"{difference.value:+.4f}",
            _interval(difference),
            str(difference.count),
        )
    Console().print(table)
    click.echo(f"within noise: {', '.join(name for name in apart if noise[name]) or 'none'}")


def _interval(metric: Metric) -> str:
    return f"{metric.low:.4f} – {metric.high:.4f}"
