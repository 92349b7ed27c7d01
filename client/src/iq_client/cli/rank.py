"""`iq-client rank`: the best photos first."""

from __future__ import annotations

from pathlib import Path

import click

from iq_client.cli import scoring, tables
from iq_client.cli.copy import CopyOptions, copy_options
from iq_client.cli.gallery import Gallery, html_option
from iq_client.cli.inputs import Paths, paths_argument
from iq_client.cli.output import OutputOptions, min_score_option, output_options
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
from iq_client.cli.xmp import XmpOptions, dry_run_option, xmp_options
from iq_client.images.inputs import expand
from iq_client.ranking import rank as ranked
from iq_client.results import RankKey


@click.command(cls=SectionedCommand)
@paths_argument
@output_options
@html_option
@click.option("--top", type=click.IntRange(0), metavar="N", help="The best N only.")
@min_score_option
@click.option(
    "--by",
    type=click.Choice(["mean", "lower_bound"]),
    default="mean",
    show_default=True,
    help="lower_bound is the mean less one standard deviation: disputed photos come later.",
)
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
    min_score: float,
    by: RankKey,
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
    stdin.
    """
    copy.check(cut=top is not None or min_score > 1)
    xmp.check()
    stars.check(xmp=xmp.xmp)
    if dry_run and not xmp.xmp:
        raise click.UsageError("--dry-run belongs to --xmp")
    outcome = scoring.Outcome()
    gallery = Gallery(html)
    sources = gallery.keep(expand(paths, send.inputs(outcome.leave_out)))
    with (
        open_client(server, send) as client,
        kept(resume, client) as earlier,
        scoring.scores(
            client, sources, countable=paths.countable, kept=earlier, outcome=outcome
        ) as scores,
    ):
        tower = output.tower(client)
        rows = ranked(scores, key=by)
    scored = [row for row in rows if row.score.ok]
    good = [row for row in scored if row.score.mean >= min_score][:top]
    if scored and not good:
        click.echo(f"none of {len(scored)} photos is left by --top and --min-score", err=True)
    rows = [*good, *(row for row in rows if not row.score.ok)]
    if output.file_format is None:
        tables.print_ranking(rows)
    else:
        with output.writer(["rank"], tower) as write:
            for row in rows:
                write(row.to_dict())
    gallery.write(rows)
    copy.copy([row.score.source for row in good])
    if xmp.xmp:  # by their place among all photos, whatever is shown
        outcome.failed |= not xmp.write(
            stars.ratings([row.score for row in scored]), dry_run=dry_run
        )
    ctx.exit(outcome.exit_code)
