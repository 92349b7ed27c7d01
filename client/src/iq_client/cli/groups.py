"""`iq-client groups`: near-identical photos together, the best of each first."""

from __future__ import annotations

from pathlib import Path

import click

from iq_client.cli import tables
from iq_client.cli.copy import CopyOptions, copy_options
from iq_client.cli.grouping import Grouper, label, tell_left_out
from iq_client.cli.html import html_option, write_page
from iq_client.cli.inputs import Paths, paths_argument
from iq_client.cli.output import OutputOptions, output_options
from iq_client.cli.pictures import Pictures
from iq_client.cli.reasons import are_wanted, explained_groups, reasons_option
from iq_client.cli.resume import ResumeOptions, kept, resume_options
from iq_client.cli.scoring import Outcome, scores
from iq_client.cli.sections import SectionedCommand
from iq_client.cli.server import (
    SendOptions,
    ServerOptions,
    open_client,
    send_options,
    server_options,
)
from iq_client.cli.summary import summary_option, write_summary
from iq_client.groups import MAX_DISTANCE, MAX_DISTANCE_IN_BURST, MAX_GAP, bursts
from iq_client.images.inputs import expand
from iq_client.results import GROUP_COLUMNS, Group, TowerIdentity


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
@click.option("--top", type=click.IntRange(1), metavar="N", help="The best N of each group only.")
@click.option(
    "--no-sets",
    is_flag=True,
    help="Take brackets, focus stacks and panoramas for bursts.",
)
@reasons_option
@summary_option
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
    top: int | None,
    no_sets: bool,
    reasons: bool | None,
    summary: Path | None,
    copy: CopyOptions,
    resume: ResumeOptions,
    server: ServerOptions,
    send: SendOptions,
) -> None:
    """Group bursts and copies; the best of each group comes first.

    PATH is a photo, a folder (searched recursively), a glob pattern in quotes, or - for paths on
    stdin. Exposure brackets, focus stacks and panoramas are groups that stay whole. --copy-best
    takes the best photo of every group, or --top N, and such sets whole. Needs the extra `groups`.
    """
    copy.check(cut=True)
    grouper = Grouper()
    grouping = bursts(
        max_gap=max_gap,
        max_distance=max_distance,
        max_distance_in_burst=max_distance_in_burst,
    )
    outcome = Outcome()
    reasons = are_wanted(reasons, output, html)
    pictures = Pictures(copies=html is not None, reasons=reasons)
    sources = grouper.watch(pictures.watch(expand(paths, send.inputs(outcome.leave_out))))
    with (
        open_client(server, send) as client,
        kept(resume, client) as earlier,
        scores(
            client, sources, countable=paths.countable, kept=earlier, outcome=outcome
        ) as iterator,
    ):
        tower = output.tower(client)
        found = list(iterator)
    found_groups = grouper.groups(
        found, kept=earlier, outcome=outcome, grouping=grouping, sets=not no_sets
    )
    tell_left_out(found_groups, top, "--top")
    if reasons:
        found_groups = explained_groups(found_groups, top, pictures, outcome)
    _write(found_groups, top, output, tower)
    shown = [Group(group.kept(top), group.key, group.kind) for group in found_groups]
    write_page(html, shown, pictures, outcome.left_out)
    copy.copy(
        [row.score.source for group in found_groups for row in group.kept(top or 1) if row.score.ok]
    )
    write_summary(summary, outcome)
    ctx.exit(outcome.exit_code)


def _write(
    groups: list[Group], top: int | None, output: OutputOptions, tower: TowerIdentity | None
) -> None:
    rows = [
        (number, group, row) for number, group in enumerate(groups, 1) for row in group.kept(top)
    ]
    if output.file_format is None:
        tables.print_ranking(
            [row for _, _, row in rows],
            groups=[number for number, _, _ in rows],
            labels=[label(group, top) if row is group.best else "" for _, group, row in rows],
        )
        return
    with output.writer([*GROUP_COLUMNS, "rank"], tower) as write:
        for number, group, row in rows:
            write({**group.columns(number), **row.to_dict()})
