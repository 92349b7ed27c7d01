"""`iq-client compare-models`: two towers on the same photos."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

import click
from rich import box
from rich.table import Table
from rich.text import Text

from iq_client.cli import tables
from iq_client.cli.inputs import Paths, paths_argument
from iq_client.cli.resume import Kept
from iq_client.cli.scoring import Outcome, scores
from iq_client.cli.sections import SectionedCommand
from iq_client.cli.server import (
    EXISTING_FILE,
    SendOptions,
    ServerOptions,
    open_client,
    send_options,
    server_options,
)
from iq_client.client import Client
from iq_client.comparison import TowerComparison, compare_towers
from iq_client.images.inputs import expand
from iq_client.images.source import Source
from iq_client.results import Score


@click.command("compare-models", cls=SectionedCommand)
@paths_argument
@click.option("--other-url", multiple=True, metavar="HOST:PORT", help="The second's server.")
@click.option("--other-model", metavar="NAME", help="The second's ensemble.")
@click.option("--other-version", type=click.IntRange(1), metavar="N", help="The second's version.")
@click.option(
    "--labels",
    type=EXISTING_FILE,
    metavar="CSV",
    help="Ratings by people: a table with a header, whose first column names the photo.",
)
@click.option(
    "--label-column",
    default="mean",
    show_default=True,
    metavar="NAME",
    help="Of --labels: the ratings, on any scale, more for better.",
)
@click.option(
    "--largest",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    metavar="N",
    help="Disagreements to list.",
)
@click.option("--format", "file_format", type=click.Choice(["table", "json"]), default="table")
@server_options
@send_options
@click.pass_context
def compare_models(
    ctx: click.Context,
    paths: Paths,
    other_url: tuple[str, ...],
    other_model: str | None,
    other_version: int | None,
    labels: Path | None,
    label_column: str,
    largest: int,
    file_format: str,
    server: ServerOptions,
    send: SendOptions,
) -> None:
    """Compare two models, versions or servers on the same photos.

    The first is the one that --url, --model and --model-version name; the second differs from it by
    --other-url, --other-model or --other-version. Shown are the rank correlation of their means,
    how far the means are shifted and spread, and the photos whose places differ most; with --labels
    also how well each agrees with people, and the interval of the difference.
    """
    others = {"url": list(other_url) or None, "model": other_model, "version": other_version}
    changes = {name: value for name, value in others.items() if value is not None}
    if not changes:
        raise click.UsageError("say what differs: --other-url, --other-model or --other-version")
    ratings = None if labels is None else _read_ratings(labels, label_column)
    outcome = Outcome()
    sources = list(expand(paths, send.inputs(outcome.leave_out)))
    with open_client(server, send) as first, first.with_options(**changes) as second:
        found = [_score(client, sources, outcome) for client in (first, second)]
        towers = [client.server_info().tower for client in (first, second)]
    if outcome.interrupted:
        ctx.exit(outcome.exit_code)
    if ratings is not None:
        ratings = _of_photos(ratings, (source.name for source in sources))
    try:
        comparison = compare_towers(*found, ratings=ratings, largest=largest)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    labelled = [tower.label if tower else "not named" for tower in towers]
    if file_format == "json":
        click.echo(json.dumps({"towers": labelled} | comparison.to_dict(), indent=2))
    else:
        _show(labelled, comparison)
    ctx.exit(outcome.exit_code)


def _score(client: Client, sources: list[Source], outcome: Outcome) -> list[Score]:
    if outcome.interrupted:
        return []
    with scores(client, sources, countable=True, kept=Kept(), outcome=outcome) as found:
        return list(found)


def _read_ratings(path: Path, column: str) -> dict[str, float]:
    """Ratings by the name of the photo, as the table has it; empty cells are left out."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            header = rows.fieldnames or []
            if column not in header[1:]:
                raise click.UsageError(
                    f"{path} has no column {column!r} behind the photo's: take one of "
                    f"{', '.join(header[1:]) or 'none'} with --label-column"
                )
            ratings: dict[str, float] = {}
            for row in rows:
                name, text = row[header[0]], row[column]
                if not name or not text:
                    continue
                if not math.isfinite(rating := float(text)):
                    raise ValueError(f"{text} is no rating")
                if ratings.setdefault(str(PurePath(name)), rating) != rating:
                    raise ValueError(f"{name} has two ratings")
            return ratings
    except (OSError, ValueError, csv.Error) as error:
        raise click.UsageError(f"{path} holds no ratings: {error}") from error


def _of_photos(ratings: Mapping[str, float], names: Iterable[str]) -> dict[str, float]:
    """The ratings by the names that the photos have here: the table's may lack folders in front."""
    found = {}
    for name in names:
        parts = PurePath(name).parts
        for start in range(len(parts)):
            rated = str(PurePath(*parts[start:]))
            if rated in ratings:
                found[name] = ratings[rated]
                break
    return found


def _show(towers: list[str], found: TowerComparison) -> None:
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_column(style="bold")
    facts.add_column()
    rows: list[tuple[str, str]] = [
        ("first", towers[0]),
        ("second", towers[1]),
        ("photos", f"{found.photos} scored by both, {found.failed} left out"),
        ("order", f"Spearman {found.spearman:.3f}"),
        ("means", f"the second's are {found.shift:+.3f} votes from the first's"),
        ("spread", f"{found.first_spread:.3f} and {found.second_spread:.3f} votes"),
    ]
    if (people := found.people) is not None:
        verdict = "within noise" if people.within_noise else "beyond noise"
        rows += [
            (
                "people",
                f"Spearman {people.first:.3f} and {people.second:.3f}, {people.photos} rated",
            ),
            (
                "difference",
                f"{people.difference:+.3f}, 95 % interval {people.low:+.3f} … {people.high:+.3f}: "
                f"{verdict}",
            ),
        ]
    for name, text in rows:
        facts.add_row(name, tables.printable(text))
    if not found.disagreements:
        tables.show(facts)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("first", "place", "second", "place"):
        table.add_column(name, justify="right")
    table.add_column("photo", overflow="fold")
    for each in found.disagreements:
        table.add_row(
            f"{each.first:.2f}",
            f"{each.first_rank:g}",
            f"{each.second:.2f}",
            f"{each.second_rank:g}",
            Text(tables.printable(each.source)),
        )
    tables.show(facts, "", table)
