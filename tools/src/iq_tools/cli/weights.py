"""`iq-tools weights`: published weights into the user's cache folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from iq_tools.cli.options import NEW_FILE

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

_INTERRUPTED: Final = 130


@click.group()
def weights() -> None:
    """Published weights, downloaded once into the user's cache folder."""


@weights.command("fetch")
@click.argument("name")
@click.option("--sha256", help="The sum the file has to have; default: the one that is known.")
@click.option("--output", type=NEW_FILE, help="Where to; default: the cache folder.")
@click.pass_context
def fetch_command(ctx: click.Context, name: str, sha256: str | None, output: Path | None) -> None:
    """Download NAME, one of `iq-tools weights list` or an https address of an HDF5 file."""
    from iq_tools.weights.published import fetch, find_source

    source, path = find_source(name)
    try:
        with _bytes_bar(name) as show:
            fetched = fetch(source, output or path, sha256=sha256, progress=show)
    except KeyboardInterrupt:
        click.echo("stopped; the same command goes on from here", err=True)
        ctx.exit(_INTERRUPTED)
    known = "as it should be" if fetched.pinned else "no sum is known for it: compare it yourself"
    click.echo(fetched.path)
    click.echo(f"sha256 {fetched.sha256}, {known}", err=True)


@weights.command("list")
def list_command() -> None:
    """Show the names, whose weights they are, and which are in the cache folder."""
    from iq_tools.weights.published import SOURCES, find_source

    for name, source in SOURCES.items():
        path = find_source(name)[1]
        where = path if path.exists() else source.url
        click.echo(f"{name:28}  {source.tower:20}  {where}")


@contextmanager
def _bytes_bar(label: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar that appears with the first bytes."""
    with ExitStack() as stack:
        bars: list[ProgressBar[int]] = []

        def show(done: int, total: int | None) -> None:
            if not bars:
                bar = click.progressbar(length=total or 0, label=label, file=sys.stderr)
                bars.append(stack.enter_context(bar))
            bars[0].update(done - bars[0].pos)

        yield show
