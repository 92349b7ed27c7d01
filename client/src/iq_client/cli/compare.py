"""`iq-client compare`: which of two photos is better, and how sure that is."""

from __future__ import annotations

import json

import click

from iq_client.cli import exit_codes, tables
from iq_client.cli.sections import SectionedCommand
from iq_client.cli.server import (
    SendOptions,
    ServerOptions,
    open_client,
    send_options,
    server_options,
)
from iq_client.ranking import probability_better


@click.command(cls=SectionedCommand)
@click.argument("a", metavar="A", type=click.Path())
@click.argument("b", metavar="B", type=click.Path())
@click.option("--format", "file_format", type=click.Choice(["table", "json"]), default="table")
@server_options
@send_options
@click.pass_context
def compare(
    ctx: click.Context,
    a: str,
    b: str,
    file_format: str,
    server: ServerOptions,
    send: SendOptions,
) -> None:
    """Say how probable it is that photo A is better than photo B.

    The probability that a vote on A is higher than a vote on B, by their two distributions; equal
    votes count half.
    """
    with open_client(server, send) as client:
        scores = client.score_images([a, b])
    if len(scores) != 2:
        raise click.UsageError("compare takes two photos, not folders or patterns")
    probability = probability_better(*scores) if all(score.ok for score in scores) else None
    if file_format == "json":
        first, second = (score.to_dict() for score in scores)
        click.echo(
            json.dumps({"a": first, "b": second, "probability_a_better": probability}, indent=2)
        )
    else:
        tables.print_scores(scores)
        if probability is not None:
            better, chance = ("A", probability) if probability >= 0.5 else ("B", 1 - probability)
            click.echo(f"\n{better} is better with a probability of {chance:.1%}")
    ctx.exit(exit_codes.SCORED if probability is not None else exit_codes.SOME_FAILED)
