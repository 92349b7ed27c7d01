"""`iq-tools perf`: a running server, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from iq_tools.cli.options import FOLDER, NEW_FOLDER, perf_analyzer_option, report
from iq_tools.files import write_atomically
from iq_tools.measure.perf import (
    MODELS,
    Sweep,
    draw,
    find_perf_analyzer,
    markdown_table,
    measure,
)

_DEFAULTS: Final = Sweep()


def _numbers(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """Positive whole numbers with commas between them."""
    try:
        numbers = tuple(int(part) for part in value.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise click.BadParameter(f"{value!r} is no list such as 1,4,16", ctx, param)
    return numbers


def _written(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))


@click.command()
@click.option("--url", default="localhost:8001", show_default=True, help="gRPC address.")
@click.option("--photos", type=FOLDER, required=True, help="Photos to send.")
@click.option("--output", type=NEW_FOLDER, default=Path("perf"), show_default=True)
@click.option("--model", "models", type=click.Choice(MODELS), multiple=True, help="Default: all.")
@click.option(
    "--batch",
    "batches",
    callback=_numbers,
    default=_written(_DEFAULTS.batches),
    show_default=True,
    help="Images per request.",
)
@click.option(
    "--concurrency",
    "concurrencies",
    callback=_numbers,
    default=_written(_DEFAULTS.concurrencies),
    show_default=True,
    help="Requests in flight.",
)
@click.option(
    "--requests",
    type=click.IntRange(1),
    default=_DEFAULTS.requests,
    show_default=True,
    help="Requests per combination.",
)
@perf_analyzer_option
def perf(
    url: str,
    photos: Path,
    output: Path,
    models: tuple[str, ...],
    batches: tuple[int, ...],
    concurrencies: tuple[int, ...],
    requests: int,
    perf_analyzer: Path | None,
) -> None:
    """Measure a running server; write a table (perf.md) and a picture (perf.png)."""
    from iq_tools.photos import photo_files

    measurements = measure(
        url,
        photo_files(photos),
        Sweep(models or _DEFAULTS.models, batches, concurrencies, requests),
        program=find_perf_analyzer(perf_analyzer),
        report=lambda found: report(
            f"{found.model}, batch {found.batch}, {found.concurrency} in flight: "
            f"{found.images_per_second:.1f} images/s"
        ),
    )
    table = markdown_table(measurements)
    write_atomically(output / "perf.md", table.encode())
    draw(measurements, output / "perf.png")
    click.echo(table, nl=False)
