"""`iq-client gallery`: a folder's gallery on a web server of this machine, which writes marks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import click

from iq_client.cli import scoring
from iq_client.cli.output import FileToWrite
from iq_client.cli.pictures import Pictures
from iq_client.cli.reasons import explained
from iq_client.cli.resume import ResumeOptions, kept
from iq_client.cli.sections import SectionedCommand
from iq_client.cli.server import (
    SendOptions,
    ServerOptions,
    open_client,
    send_options,
    server_options,
)
from iq_client.cli.xmp import XmpOptions, xmp_options
from iq_client.gallery.marks import Mark, as_rating
from iq_client.images.inputs import InputOptions, expand
from iq_client.images.source import Source
from iq_client.metadata.rate import UndoList
from iq_client.ranking import rank

_LOOK_EVERY = 2.0  # seconds

_State: TypeAlias = tuple[int, int]  # a file's size and time of change


@click.command(cls=SectionedCommand)
@click.option(
    "--serve",
    "folder",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="The photos to show.",
)
@click.option("--watch", is_flag=True, help="Score and show photos that arrive later as well.")
@click.option(
    "--picks",
    type=FileToWrite(),
    metavar="FILE",
    help="Where marks are written, as CSV.  [default: picks.csv in DIR]",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="To listen on.  [default: a free one]"
)
@xmp_options
@server_options
@send_options
@click.pass_context
def gallery(
    ctx: click.Context,
    folder: Path,
    watch: bool,
    picks: Path | None,
    port: int,
    xmp: XmpOptions,
    server: ServerOptions,
    send: SendOptions,
) -> None:
    """Show a folder in the browser; marks are written as they are made.

    The page comes from this machine alone, at an address that nobody can guess; it shows the
    photos themselves in full size. Ctrl-C ends it. `iq-client apply` takes the file of marks;
    --xmp writes each mark for photo programs at once, as `apply --xmp` does.
    """
    from iq_client.gallery.server import GalleryServer  # brings Pillow, which takes a while

    xmp.check()
    changes = UndoList(xmp.undo_list)

    def write(mark: Mark, before: Mark | None) -> None:
        changes.apply(xmp.plan(Path(mark.path), as_rating(mark, before)))

    picks = picks or folder / "picks.csv"
    outcome = scoring.Outcome()
    pictures = Pictures(copies=True, reasons=True)
    sources = pictures.watch(expand(str(folder), send.inputs(outcome.leave_out)))
    try:
        page = GalleryServer(
            picks,
            title=folder.resolve().name,
            open_image=pictures.open,
            on_change=write if xmp.xmp else None,
            port=port,
        )
    except ValueError as error:
        raise click.UsageError(f"{picks}: {error}; name another file with --picks") from error
    except OSError as error:
        raise click.UsageError(f"{picks}, port {port}: {error.strerror}") from error
    with page, open_client(server, send) as client:
        with (
            kept(ResumeOptions(None, False), client) as earlier,
            scoring.scores(client, sources, countable=True, kept=earlier, outcome=outcome) as found,
        ):
            scores = list(found)

        def show(left_out: Mapping[str, int]) -> None:
            scored = sum(score.ok for score in scores)
            page.show(explained(rank(scores), scored, pictures, outcome), left_out)

        show(outcome.left_out)
        click.echo(f"{page.url}\nmarks go to {picks}; Ctrl-C ends")
        try:
            known = {score.source for score in scores}
            for look in _looks(folder, known, outcome.left_out, watch=watch):
                if look.photos:
                    scores += client.score_images(list(pictures.watch(look.photos)))
                    click.echo(f"{len(look.photos)} new", err=True)
                show(look.left_out)
        except KeyboardInterrupt:
            click.echo("ended", err=True)
    ctx.exit(outcome.exit_code)


@dataclass(frozen=True, slots=True)
class _Look:
    """A folder in which something has changed.

    Attributes:
        photos: Those that were not there before and are whole.
        left_out: Counts of the other files, by kind.
    """

    photos: list[Source]
    left_out: Mapping[str, int]


def _looks(
    folder: Path, known: set[str], left_out: Mapping[str, int], *, watch: bool
) -> Iterator[_Look]:
    """Looks at a folder that see something new; a photo is whole where two looks see it alike."""
    before: dict[str, _State] = {}
    while True:
        time.sleep(_LOOK_EVERY)
        if not watch:
            continue
        now: dict[str, _State] = {}
        others = scoring.Outcome()
        whole = []
        for source in expand(str(folder), InputOptions(on_left_out=others.leave_out)):
            if source.name in known or source.path is None:
                continue
            try:
                status = source.path.stat()
            except OSError:
                continue  # gone again
            now[source.name] = (status.st_size, status.st_mtime_ns)
            if before.get(source.name) == now[source.name]:
                whole.append(source)
        before = now
        known |= {source.name for source in whole}
        if whole or others.left_out != left_out:
            left_out = others.left_out
            yield _Look(whole, left_out)
