"""`iq-tools gpu-check`: this machine's GPU, measured."""

from __future__ import annotations

from pathlib import Path

import click

from iq_tools.cli.options import (
    FOLDER,
    REPOSITORY,
    builder_option,
    perf_analyzer_option,
    report,
)


@click.command("gpu-check")
@click.option(
    "--model-repository", "repository", type=FOLDER, default=REPOSITORY, show_default=True
)
@click.option("--photos", type=FOLDER, required=True, help="Photos to decode and to score.")
@builder_option
@click.option("--seconds", default=5.0, show_default=True, help="For each measurement.")
@click.option("--url", help="gRPC address of a running server, to measure the whole as well.")
@perf_analyzer_option
def gpu_check(
    repository: Path,
    photos: Path,
    builder: str | None,
    seconds: float,
    url: str | None,
    perf_analyzer: Path | None,
) -> None:
    """Measure decode, tower and server on this machine's GPU, beside its measured peak.

    The server at --url is measured by perf_analyzer.
    """
    from iq_tools.measure.gpu_check import check, check_server
    from iq_tools.measure.perf import find_perf_analyzer
    from iq_tools.tensorrt.builders import find_builder

    program = find_perf_analyzer(perf_analyzer) if url else None
    rows = check(
        repository,
        photos,
        seconds=seconds,
        find_builder=lambda: find_builder(builder),
        report=report,
    )
    if url and program:
        rows += check_server(url, photos, program)
    click.echo("| what | measured |\n| --- | --- |")
    for what, result in rows:
        click.echo(f"| {what} | {result} |")
