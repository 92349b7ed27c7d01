"""`iq-client groups`: near-identical photos together, the best of each first."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from iq_client.cli import tables
from iq_client.cli.copy import CopyOptions, copy_options
from iq_client.cli.gallery import Gallery, html_option
from iq_client.cli.inputs import Paths, paths_argument
from iq_client.cli.output import OutputOptions, output_options
from iq_client.cli.progress import progress
from iq_client.cli.resume import ResumeOptions, kept, resume_options
from iq_client.cli.scoring import Outcome, scores, until_interrupted
from iq_client.cli.sections import SectionedCommand
from iq_client.cli.server import (
    SendOptions,
    ServerOptions,
    open_client,
    send_options,
    server_options,
)
from iq_client.errors import InputError
from iq_client.groups import (
    MAX_DISTANCE,
    MAX_DISTANCE_IN_BURST,
    MAX_GAP,
    UNKNOWN,
    Fingerprints,
    bursts,
    fingerprint,
    group_images,
)
from iq_client.images.inputs import expand
from iq_client.images.source import Source
from iq_client.results import Group, TowerIdentity


@click.command(cls=SectionedCommand)
@paths_argument
@output_options
@html_option
@click.option(
    "--max-gap",
    type=click.FloatRange(0),
    default=MAX_GAP,
    show_default=True,
    metavar="SECONDS",
    help="Between two photos of a burst, by their EXIF times.",
)
@click.option(
    "--max-distance",
    type=click.IntRange(0, 64),
    default=MAX_DISTANCE,
    show_default=True,
    metavar="BITS",
    help="That the hashes of two alike photos differ in, where a time is not known.",
)
@click.option(
    "--max-distance-in-burst",
    type=click.IntRange(0, 64),
    default=MAX_DISTANCE_IN_BURST,
    show_default=True,
    metavar="BITS",
    help="The same within --max-gap.",
)
@copy_options
@resume_options
@server_options
@send_options
@click.pass_context
def groups(
    ctx: click.Context,
    paths: Paths,
    output: OutputOptions,
    html: Path | None,
    max_gap: float,
    max_distance: int,
    max_distance_in_burst: int,
    copy: CopyOptions,
    resume: ResumeOptions,
    server: ServerOptions,
    send: SendOptions,
) -> None:
    """Group bursts and copies; the best of each group comes first.

    PATH is a photo, a folder (searched recursively), a glob pattern in quotes, or - for paths on
    stdin. --copy-best takes the best photo of every group. Needs the extra `groups`.
    """
    copy.check(cut=True)
    _require_imagehash()
    grouping = bursts(
        max_gap=max_gap,
        max_distance=max_distance,
        max_distance_in_burst=max_distance_in_burst,
    )
    outcome = Outcome()
    gallery = Gallery(html)
    prints = Fingerprints()
    watched: list[Source] = []

    def sources() -> Iterator[Source]:
        for source in gallery.keep(expand(paths, send.inputs(outcome.leave_out))):
            watched.append(prints.watch(source))
            yield watched[-1]

    with (
        open_client(server, send) as client,
        kept(resume, client) as earlier,
        scores(
            client, sources(), countable=paths.countable, kept=earlier, outcome=outcome
        ) as iterator,
    ):
        tower = output.tower(client)
        found = list(iterator)
    # Of what an earlier run scored nothing was read that a fingerprint could be taken from.
    known = [source for source, score in zip(watched, found, strict=False)
             if earlier.find(score.source) is not None]  # fmt: skip
    _read(known, outcome)
    fingerprints = [
        taken if score.ok else UNKNOWN
        for score, taken in zip(found, prints.first(len(found)), strict=True)
    ]
    found_groups = group_images(found, fingerprints, grouping=grouping)
    _write(found_groups, output, tower)
    gallery.write(found_groups)
    copy.copy([group.best.score.source for group in found_groups if group.best.score.ok])
    ctx.exit(outcome.exit_code)


def _write(groups: list[Group], output: OutputOptions, tower: TowerIdentity | None) -> None:
    rows = [(number, row) for number, group in enumerate(groups, 1) for row in group.images]
    if output.file_format is None:
        tables.print_ranking([row for _, row in rows], groups=[number for number, _ in rows])
        return
    with output.writer(["group", "rank"], tower) as write:
        for number, row in rows:
            write({"group": number, **row.to_dict()})


def _read(sources: Sequence[Source], outcome: Outcome) -> None:
    """Reads photos for their fingerprints alone; those that Ctrl-C left out stay without one."""
    if not sources:
        return

    stop = threading.Event()

    def one(source: Source) -> None:
        if not stop.is_set():
            with contextlib.suppress(InputError):  # gone since it was scored
                source.load()

    def read() -> Iterator[None]:
        yield from pool.map(one, sources)  # none is begun before Ctrl-C is waited for

    reading = Outcome()  # its own: Ctrl-C while scoring does not leave out the reading
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        until_interrupted(read(), reading, cancel=stop.set, cancellable=lambda: True) as done,
        progress("hashing", len(sources)) as bar,
    ):
        for _ in done:
            bar.advance()
    outcome.interrupted |= reading.interrupted


def _require_imagehash() -> None:
    """Says before anything is scored that the package is missing."""
    try:
        fingerprint(b"")
    except ImportError as error:
        raise click.UsageError(str(error)) from error
