"""`iq-client score`: the scores in the order of the photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from iq_client.cli import scoring, tables
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
from iq_client.images.inputs import expand
from iq_client.results import Score


@click.command(cls=SectionedCommand)
@paths_argument
@output_options
@min_score_option
@resume_options
@server_options
@send_options
@click.pass_context
def score(
    ctx: click.Context,
    paths: Paths,
    output: OutputOptions,
    min_score: float,
    resume: ResumeOptions,
    server: ServerOptions,
    send: SendOptions,
) -> None:
    """Score photos, in the order given.

    PATH is a photo, a folder (searched recursively), a glob pattern in quotes, or - for paths on
    stdin. Formats other than the table are written while the scores come in.
    """
    outcome = scoring.Outcome()
    sources = expand(paths, send.inputs(outcome.leave_out))
    with (
        open_client(server, send) as client,
        kept(resume, client) as earlier,
        scoring.scores(
            client, sources, countable=paths.countable, kept=earlier, outcome=outcome
        ) as scores,
    ):
        tower = output.tower(client)
        shown = _at_least(min_score, scores)
        if output.file_format is None:
            tables.print_scores(shown)
        else:
            with output.writer(tower=tower) as write:
                for score in shown:
                    write(score.to_dict())
    ctx.exit(outcome.exit_code)


def _at_least(mean: float, scores: Iterable[Score]) -> Iterator[Score]:
    """The scores that reach a mean, and those that failed; says on stderr where none does."""
    scored = reached = 0
    for score in scores:
        scored += score.ok
        if not score.mean < mean:  # a photo that failed has no mean to be too low
            reached += score.ok
            yield score
    if scored and not reached:
        click.echo(f"none of {scored} photos is left by --min-score", err=True)
