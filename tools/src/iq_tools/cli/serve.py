"""`iq-tools serve`: the entry point of the container."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import click

from iq_tools.access import KEY_VARIABLE, access_arguments
from iq_tools.cli.options import FOLDER, NEW_FOLDER, report
from iq_tools.serve import RUNTIMES, ServeOptions, prepare, start

_DEFAULTS: Final = ServeOptions()
_CONTROL: Final = "--model-control-mode"  # by which Triton loads models later


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--model-repository",
    "repository",
    type=FOLDER,
    default=_DEFAULTS.repository,
    show_default=True,
)
@click.option("--cache", type=NEW_FOLDER, default=_DEFAULTS.cache, show_default=True)
@click.option("--photos", type=FOLDER, default=_DEFAULTS.photos, show_default=True)
@click.option("--work", type=NEW_FOLDER, default=_DEFAULTS.work, show_default=True)
@click.option(
    "--runtime",
    type=click.Choice(RUNTIMES),
    default=_DEFAULTS.runtime,
    show_default=True,
    envvar="IQ_RUNTIME",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(
    repository: Path,
    cache: Path,
    photos: Path,
    work: Path,
    runtime: str,
    arguments: tuple[str, ...],
) -> None:
    """Start Triton with TensorRT where there is a GPU, else with ONNX Runtime.

    ARGUMENTS go to tritonserver. Where they do not say otherwise, HTTP listens inside the container
    only, and shared memory, model control, statistics, traces and logs ask for the key of
    IQ_ADMIN_KEY, else for a random one.
    """
    from iq_tools.tensorrt.builders import find_builder

    shut = access_arguments(arguments, os.environ.get(KEY_VARIABLE))
    reloaded = any(argument.partition("=")[0] == _CONTROL for argument in arguments)
    chosen = prepare(
        ServeOptions(repository, cache, photos, work, runtime, reloaded),
        find_builder=find_builder,
        report=report,
    )
    click.echo(f"iq-tools: {chosen.reason}", err=True)
    start(chosen.command([*shut, *arguments]))
