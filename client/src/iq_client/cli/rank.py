"""`iq-client rank`: the best photos first."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import click

from iq_client.cli import scoring, tables
from iq_client.cli.copy import CopyOptions, copy_options
from iq_client.cli.grouping import Grouper, label, tell_left_out
from iq_client.cli.html import html_option, write_page
from iq_client.cli.inputs import Paths, paths_argument
from iq_client.cli.output import OutputOptions, min_score_option, output_options
from iq_client.cli.pictures import Pictures
from iq_client.cli.reasons import are_wanted, explained, reasons_option
from iq_client.cli.resume import ResumeOptions, kept, resume_options
from iq_client.cli.sections import SectionedCommand
from iq_client.cli.server import (
    SendOptions,
    ServerOptions,
    open_client,
    send_options,
    server_options,
)
from iq_client.cli.stars import StarOptions, star_options
from iq_client.cli.summary import summary_option, write_summary
from iq_client.cli.xmp import XmpOptions, dry_run_option, xmp_options
from iq_client.images.inputs import expand
from iq_client.ranking import rank as ranked
from iq_client.results import GROUP_COLUMNS, Group, RankedImage, RankKey, TowerIdentity


@click.command(cls=SectionedCommand)
@paths_argument
@output_options
@html_option
@click.option("--top", type=click.IntRange(0), metavar="N", help="The best N only.")
@click.option(
    "--one-per-group",
    is_flag=True,
    help="Only the best of photos that `groups` puts together; sets whole.",
)
@min_score_option
@click.option(
    "--by",
    type=click.Choice(["mean", "lower_bound"]),
    default="mean",
    show_default=True,
    help="lower_bound is the mean less one standard deviation: disputed photos come later.",
)
@reasons_option
@summary_option
@copy_options
@xmp_options
@star_options
@dry_run_option
@resume_options
@server_options
@send_options
@click.pass_context
def rank(
    ctx: click.Context,
    paths: Paths,
    output: OutputOptions,
    html: Path | None,
    top: int | None,
    one_per_group: bool,
    min_score: float,
    by: RankKey,
    reasons: bool | None,
    summary: Path | None,
    copy: CopyOptions,
    xmp: XmpOptions,
    stars: StarOptions,
    dry_run: bool,
    resume: ResumeOptions,
    server: ServerOptions,
    send: SendOptions,
) -> None:
    """Rank photos, best first; those that could not be scored come last.

    PATH is a photo, a folder (searched recursively), a glob pattern in quotes, or - for paths on
    stdin. With --one-per-group a bracket, focus stack or panorama has one place, which all its
    photos share, and --xmp gives stars to the photos that are left.
    """
    copy.check(cut=top is not None or min_score > 1)
    xmp.check()
    stars.check(xmp=xmp.xmp)
    if dry_run and not xmp.xmp:
        raise click.UsageError("--dry-run belongs to --xmp")
    grouper = Grouper() if one_per_group else None
    outcome = scoring.Outcome()
    reasons = are_wanted(reasons, output, html)
    pictures = Pictures(copies=html is not None, reasons=reasons)
    sources = pictures.watch(expand(paths, send.inputs(outcome.leave_out)))
    if grouper is not None:
        sources = grouper.watch(sources)
    with (
        open_client(server, send) as client,
        kept(resume, client) as earlier,
        scoring.scores(
            client, sources, countable=paths.countable, kept=earlier, outcome=outcome
        ) as scores,
    ):
        tower = output.tower(client)
        found = list(scores)
    if grouper is not None:
        groups = grouper.groups(found, kept=earlier, outcome=outcome, key=by)
        tell_left_out(groups, 1, "--one-per-group")
    else:
        groups = [Group((row,), by) for row in ranked(found, key=by)]
    # Each group has one place: that of its best.
    scored = [group for group in groups if group.best.score.ok]
    good = [group for group in scored if group.best.score.mean >= min_score][:top]
    if scored and not good:
        click.echo(f"none of {len(scored)} photos is left by --top and --min-score", err=True)
    failed = [group for group in groups if not group.best.score.ok]
    rows = [
        (group, RankedImage(place, row.score))
        for place, group in enumerate(good, start=1)
        for row in group.kept(1)
    ] + [(group, row) for group in failed for row in group.images]
    if reasons:
        told = explained([row for _, row in rows], len(scored), pictures, outcome)
        rows = [(group, row) for (group, _), row in zip(rows, told, strict=True)]
    _write(rows, output, tower, grouped=one_per_group)
    write_page(html, _kept(rows, by), pictures, outcome.left_out)
    copy.copy([row.score.source for _, row in rows if row.score.ok])
    if xmp.xmp:  # by their place among all photos, whatever is shown
        ratings = stars.ratings([[row.score for row in group.kept(1)] for group in scored])
        outcome.failed |= not xmp.write(ratings, dry_run=dry_run)
    write_summary(summary, outcome)
    ctx.exit(outcome.exit_code)


def _kept(rows: list[tuple[Group, RankedImage]], by: RankKey) -> list[Group]:
    """The groups of the rows that are shown; those of one group stand together."""
    return [
        Group(tuple(row for _, row in members), by, kind)
        for (_, kind), members in groupby(rows, lambda pair: (id(pair[0]), pair[0].kind))
    ]


def _write(
    rows: list[tuple[Group, RankedImage]],
    output: OutputOptions,
    tower: TowerIdentity | None,
    *,
    grouped: bool,
) -> None:
    if output.file_format is None:
        labels = [label(group, 1) if row.score is group.best.score else "" for group, row in rows]
        tables.print_ranking([row for _, row in rows], labels=labels)
        return
    columns = GROUP_COLUMNS[1:] if grouped else ()
    with output.writer(["rank", *columns], tower) as write:
        for group, row in rows:
            known = group.columns(0)
            write({**row.to_dict(), **{name: known[name] for name in columns}})
