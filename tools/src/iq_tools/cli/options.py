"""Types and options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from iq_serving.contract import PRECISIONS
from iq_serving.layout import Place
from iq_tools.repository import AUTO, CpuPrecision, Statement
from iq_tools.tensorrt.builders import BUILDERS

FOLDER: Final = click.Path(exists=True, file_okay=False, path_type=Path)
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE: Final = click.Path(dir_okay=False, path_type=Path)
NEW_FOLDER: Final = click.Path(file_okay=False, path_type=Path)

REPOSITORY: Final = Path("model_repository")


def report(line: str) -> None:
    """Shows a line of progress, apart from the results."""
    click.echo(line, err=True)


def precision_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the fields of `CpuPrecision`, which the command gets as that."""

    @functools.wraps(command)
    def called(precision: str, calibration: Path | None, **arguments: Any) -> None:
        command(precision=CpuPrecision(precision, calibration), **arguments)

    precision = click.option(
        "--precision",
        type=click.Choice([*PRECISIONS, AUTO]),
        default=CpuPrecision().name,
        show_default=True,
        help="Of the tower on a CPU, in the configuration `embedded`; auto: the quickest that this "
        "processor has and that keeps the order of photos.",
    )
    calibration = click.option(
        "--calibration",
        type=FOLDER,
        help="Real photos, of which int8 takes its scales and holds out half to compare with f32.",
    )
    return precision(calibration(called))


def tower_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the fields of `Place` and `Statement`, which the command gets as these."""

    @functools.wraps(command)
    def called(
        name: str,
        model_version: int,
        tower_version: str | None,
        licence: str | None,
        quantiles: Path | None,
        **arguments: Any,
    ) -> None:
        command(
            place=Place(name, model_version),
            statement=Statement(tower_version, licence, quantiles),
            **arguments,
        )

    for option in (
        click.option(
            "--quantiles",
            type=FILE,
            help="JSON: `quantiles`, the means at 0, 1, … 100 % of the photos `quantiles_of`.",
        ),
        click.option("--licence", help="Of the weights, as SPDX expression or sentence."),
        click.option("--tower-version", metavar="TEXT", help="Of the tower, such as 0.1.0."),
        click.option(
            "--model-version",
            type=click.IntRange(1),
            default=Place().version,
            show_default=True,
            help="Number of the tower's version in the repository; it is served from now on.",
        ),
        click.option(
            "--name",
            default=Place().ensemble,
            show_default=True,
            help="Of the ensemble; a repository may hold several.",
        ),
    ):
        called = option(called)
    return called


builder_option = click.option(
    "--builder",
    type=click.Choice(BUILDERS),
    help="Way to TensorRT; default: the first that is there.",
)

perf_analyzer_option = click.option(
    "--perf-analyzer", type=NEW_FILE, help="NVIDIA's program; default: on the PATH."
)
