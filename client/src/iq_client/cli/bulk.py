"""`iq-client bulk`: more photos than one run takes, in shards, by many workers."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final

import click

from iq_client.bulk import manifest
from iq_client.bulk.drivers import Job, Outcome, ShardFailure
from iq_client.bulk.drivers.local import score_locally
from iq_client.bulk.report import Tally, write_textfile
from iq_client.bulk.status import status as status_of
from iq_client.bulk.store import open_folder
from iq_client.bulk.top import top as top_of
from iq_client.bulk.tower import in_words, pin_tower
from iq_client.cli import exit_codes
from iq_client.cli.progress import Bar, progress
from iq_client.cli.sections import OrderedGroup, SectionedCommand
from iq_client.cli.server import (
    SendOptions,
    ServerOptions,
    client_options,
    embedded_server,
    send_options,
    server_options,
)
from iq_client.client import Client
from iq_client.formats import import_pyarrow
from iq_client.images.inputs import InputOptions

_RUN: Final = "run"
_REPORT_SECONDS: Final = 5.0  # between two writes of --prometheus
_DEFAULT_WORKERS: Final = 2  # the server has work while a shard begins or ends


class _Bulk(OrderedGroup):
    """A group whose first command need not be named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts `run` in front where no command is named."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [_RUN, *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Bulk)
def bulk() -> None:
    """Score more photos than one run takes: in shards, each photo once.

    \b
    iq-client bulk photos/ --output scores/     the same as `bulk run`
    iq-client bulk status scores/
    iq-client bulk top scores/ -n 1000

    The same command again goes on where the last one ended, however that was.
    """  # noqa: D301  click wants the backspace itself


def _needs_pyarrow(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command that ends with a word on what to install where pyarrow is missing."""

    @functools.wraps(command)
    def called(**arguments: Any) -> Any:
        try:
            import_pyarrow()
        except ImportError as error:
            raise click.UsageError(str(error)) from error
        return command(**arguments)

    return called


def _plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds INPUT…, --output and --shard-size to a command."""
    for add in (
        click.option(
            "--shard-size",
            type=click.IntRange(1),
            metavar="N",
            default=manifest.DEFAULT_SHARD_SIZE,
            show_default=True,
            help="Photos of a shard; only the first command for an output cuts shards.",
        ),
        click.option(
            "--output", required=True, metavar="DIR", help="Folder of the scores; may be s3://…"
        ),
        click.argument("inputs", metavar="INPUT...", nargs=-1, required=True),
    ):
        command = add(command)
    return command


@bulk.command(_RUN, cls=SectionedCommand)
@_plan_options
@click.option(
    "--driver",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Processes of this machine, or tasks of a Ray cluster.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help=f"Shards at a time.  [default: {_DEFAULT_WORKERS}; with Ray its CPUs]",
)
@click.option(
    "--ray-address", metavar="ADDRESS", help="Of the cluster.  [default: Ray's own choice]"
)
@click.option(
    "--index",
    type=click.IntRange(0),
    envvar="JOB_COMPLETION_INDEX",
    show_envvar=True,
    metavar="I",
    help="Score only the shards whose number modulo --of is this.",
)
@click.option(
    "--of", type=click.IntRange(1), metavar="N", help="Count of runs that share the work."
)
@click.option("--retry-errors", is_flag=True, help="Score again what has no score.")
@click.option(
    "--prometheus",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep the counts there, for the node exporter's textfile collector.",
)
@server_options
@send_options
@_needs_pyarrow
@click.pass_context
def run(
    ctx: click.Context,
    inputs: tuple[str, ...],
    output: str,
    shard_size: int,
    driver: str,
    workers: int | None,
    ray_address: str | None,
    index: int | None,
    of: int | None,
    retry_errors: bool,
    prometheus: Path | None,
    server: ServerOptions,
    send: SendOptions,
) -> None:
    """Score photos into one Parquet file a shard; the command may be left out.

    INPUT is a folder (searched recursively), a glob pattern in quotes, a list of paths (.txt, one
    a line), Parquet files with `id` and `bytes` or `uri`, or WebDataset tars: on this machine,
    s3:// or whatever else fsspec knows.
    """
    if (index is None) != (of is None):
        raise click.UsageError("--index and --of belong together")
    if index is not None and of is not None and index >= of:
        raise click.UsageError(f"--index {index} is not below --of {of}")
    if send.deadline is not None:
        raise click.UsageError("--deadline is for images that are scored together, not for bulk")
    if ray_address is not None and driver != "ray":
        raise click.UsageError("--ray-address belongs to --driver ray")
    options = client_options(server, send)
    folder = open_folder(output)
    plan = manifest.plan(inputs, folder, shard_size)
    shards = plan.shards if index is None else plan.shards[index::of]
    each_node = server.embedded and driver == "ray"
    with contextlib.ExitStack() as stack:
        urls = server.url
        if server.embedded:
            embedded = stack.enter_context(embedded_server(server))
            urls = (embedded.url,)
        with Client(urls, **options) as client:
            tower = client.server_info().tower
        pin_tower(folder, tower)
        job = Job(
            output=folder.url,
            tower=tower,
            urls=() if each_node else urls,
            model_repository=embedded.model_repository if server.embedded else None,
            client=options,
            inputs=InputOptions(allow_urls=send.allow_urls),
            retry_errors=retry_errors,
        )
        if driver == "ray":
            from iq_client.bulk.drivers.ray import score_on_ray

            if each_node:
                embedded.stop()  # it has told which tower it has
            outcomes = score_on_ray(job, shards, workers=workers, address=ray_address)
        else:
            outcomes = score_locally(job, shards, workers=workers or _DEFAULT_WORKERS)
        tally = Tally(len(shards))
        interrupted = _follow(outcomes, tally, manifest.rows_of(shards), prometheus)
    name = "_summary.json" if index is None else f"_summary-{index}-of-{of}.json"
    folder.write(name, tally.to_json(tower).encode())
    _tell(tally)
    if interrupted:
        raise KeyboardInterrupt
    if tally.failures:
        ctx.exit(exit_codes.NO_SERVER)
    # A photo without a score is a row with an error: a worker with one has done its work.
    ctx.exit(exit_codes.SCORED)


def _follow(
    outcomes: Generator[Outcome, None, None],
    tally: Tally,
    total: int | None,
    prometheus: Path | None,
) -> bool:
    """Counts outcomes until there are no more; returns whether Ctrl-C came first."""
    written = 0.0
    with progress("shards", total) as bar, contextlib.closing(outcomes):
        try:
            for outcome in outcomes:
                tally.add(outcome)
                _show(bar, tally, outcome)
                if prometheus and time.monotonic() - written > _REPORT_SECONDS:
                    write_textfile(prometheus, tally)
                    written = time.monotonic()
        except KeyboardInterrupt:
            return True
        finally:
            if prometheus:
                write_textfile(prometheus, tally)
    return False


def _show(bar: Bar, tally: Tally, outcome: Outcome) -> None:
    if isinstance(outcome, ShardFailure):
        return
    errors = "".join(f", {count} {code}" for code, count in sorted(tally.errors.items()))
    bar.label(f"{tally.done}/{tally.shards} shards{errors}")
    bar.advance(outcome.rows)


def _tell(tally: Tally) -> None:
    for name, message in tally.failures.items():
        click.echo(f"shard {name} has no scores: {message}", err=True)
    errors = "".join(f", {count} {code}" for code, count in sorted(tally.errors.items()))
    click.echo(
        f"{tally.done} of {tally.shards} shards done: {tally.rows} photos{errors}; "
        f"{tally.scored} sent in {tally.seconds:.1f} s",
        err=True,
    )


@bulk.command()
@_plan_options
@_needs_pyarrow
def plan(inputs: tuple[str, ...], output: str, shard_size: int) -> None:
    """Cut the input in shards only, for many runs with --index and --of."""
    made = manifest.plan(inputs, open_folder(output), shard_size)
    rows = "an unknown number of" if made.rows is None else made.rows
    click.echo(f"{len(made.shards)} shards of {rows} photos")


@bulk.command()
@click.argument("output")
@click.option("--missing", is_flag=True, help="Name the shards without a file, and nothing else.")
@_needs_pyarrow
def status(output: str, missing: bool) -> None:
    """Show how far the run of a folder has come."""
    found = status_of(open_folder(output))
    if missing:
        for name in found.missing:
            click.echo(name)
        return
    planned = "" if found.planned is None else f" of {found.planned}"
    click.echo(f"input   {' '.join(found.inputs)}")
    click.echo(f"tower   {in_words(found.tower)}")
    click.echo(f"shards  {found.done} of {found.shards} done")
    click.echo(f"photos  {found.rows}{planned} done")
    for code, count in found.errors.items():
        click.echo(f"        {count} {code}")


@bulk.command()
@click.argument("output")
@click.option(
    "-n",
    "count",
    type=click.IntRange(1),
    metavar="N",
    default=100,
    show_default=True,
    help="Photos at most.",
)
@click.option("--ids", is_flag=True, help="Without the means.")
@_needs_pyarrow
def top(output: str, count: int, ids: bool) -> None:
    """Print the best photos of a folder, best first: mean, tab, id."""
    for mean, name in top_of(open_folder(output), count):
        click.echo(name if ids else f"{mean:.6f}\t{name}")
