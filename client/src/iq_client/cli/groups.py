"""`iq-client groups`: near-identical photos together, the best of each first."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from iq_client.cli import run, tables
from iq_client.cli.copy import CopyOptions, copy_options
from iq_client.cli.gallery import html_option, write_html
from iq_client.cli.inputs import Paths, paths_argument
from iq_client.cli.output import OutputOptions, output_options
from iq_client.cli.resume import kept, resume_option
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
    Fingerprint,
    bursts,
    fingerprint,
    group_images,
)
from iq_client.inputs import InputOptions, expand
from iq_client.results import Group, Score

_UNKNOWN = Fingerprint(None, None)


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
@resume_option
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
    resume: Path | None,
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
    outcome = run.Outcome()
    options = InputOptions(allow_urls=send.allow_urls)
    with (
        open_client(server, send) as client,
        kept(resume) as earlier,
        run.scores(client, paths, options=options, kept=earlier, outcome=outcome) as found,
    ):
        scores = list(found)
    fingerprints = _fingerprints(scores, options, outcome)
    found_groups = group_images(scores, fingerprints, grouping=grouping)
    _write(found_groups, output)
    if html is not None:
        write_html(html, found_groups, options)
    copy.copy([group.best.score.source for group in found_groups if group.best.score.ok])
    ctx.exit(outcome.exit_code)


def _write(groups: list[Group], output: OutputOptions) -> None:
    rows = [(number, row) for number, group in enumerate(groups, 1) for row in group.images]
    if output.file_format is None:
        tables.print_ranking([row for _, row in rows], groups=[number for number, _ in rows])
        return
    with output.writer(["group", "rank"]) as write:
        for number, row in rows:
            write({"group": number, **row.to_dict()})


def _fingerprints(
    scores: list[Score], options: InputOptions, outcome: run.Outcome
) -> list[Fingerprint]:
    """A fingerprint for each score; one that says nothing for those that Ctrl-C left out."""

    def one(score: Score) -> Fingerprint:
        if not score.ok:
            return _UNKNOWN
        (source,) = expand(score.source, options)
        try:
            return fingerprint(source.load())
        except InputError:  # gone since it was scored
            return _UNKNOWN

    found = []
    hashing = run.Outcome()  # its own: Ctrl-C while scoring does not leave out the hashing
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        run.until_interrupted(pool.map(one, scores), hashing) as rest,
        run.progress("hashing", lambda: len(scores)) as advance,
    ):
        for each in rest:
            advance()
            found.append(each)
        pool.shutdown(cancel_futures=True)
    outcome.interrupted |= hashing.interrupted
    return found + [_UNKNOWN] * (len(scores) - len(found))


def _require_imagehash() -> None:
    """Says before anything is scored that the package is missing."""
    try:
        fingerprint(b"")
    except ImportError as error:
        raise click.UsageError(str(error)) from error
