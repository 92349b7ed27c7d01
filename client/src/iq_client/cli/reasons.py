"""The option --reasons: why marks of files are low."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import click

from iq_client.cli.output import OutputOptions
from iq_client.cli.pictures import Pictures
from iq_client.cli.progress import progress
from iq_client.cli.scoring import Outcome, until_interrupted
from iq_client.ranking import rank
from iq_client.results import Group, RankedImage

reasons_option = click.option(
    "--reasons/--no-reasons",
    default=None,
    help="Say why low marks are low.  [default: in a table, and with --html]",
)


def are_wanted(asked: bool | None, output: OutputOptions, html: Path | None) -> bool:
    """Whether to look for reasons: where people look, unless the option says otherwise.

    A program's rows cost no second reading of the photos that it did not ask for.
    """
    return asked if asked is not None else output.file_format is None or html is not None


def explained(
    rows: Sequence[RankedImage], scored: int, pictures: Pictures, outcome: Outcome
) -> list[RankedImage]:
    """The same rows, those with low marks with their reasons; Ctrl-C leaves out the rest.

    Args:
        rows: Of a ranking.
        scored: The number of photos with a score in the whole ranking.
        pictures: Knows the photos.
        outcome: Is told of Ctrl-C.
    """
    from iq_client.reasons import is_low  # brings Pillow, which takes a while

    low = [index for index, row in enumerate(rows) if is_low(row, scored)]
    found = list(rows)
    stop = threading.Event()

    def explain(index: int) -> None:
        if not stop.is_set():
            reasons = pictures.reasons(rows[index].score.source)
            found[index] = replace(rows[index], reasons=reasons)

    def explain_all() -> Iterator[None]:
        yield from pool.map(explain, low)  # none is begun before Ctrl-C is waited for

    looking = Outcome()  # its own: Ctrl-C while scoring does not leave out the reasons
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        until_interrupted(
            explain_all(), looking, cancel=stop.set, cancellable=lambda: True
        ) as done,
        progress("reasons", len(low)) as bar,
    ):
        for _ in done:
            bar.advance()
    outcome.interrupted |= looking.interrupted
    return found


def explained_groups(
    groups: Sequence[Group], top: int | None, pictures: Pictures, outcome: Outcome
) -> list[Group]:
    """The same groups, the `top` of each with their reasons; the others are as in `explained`."""
    ranking = rank([row.score for group in groups for row in group.images])
    shown = {id(row.score) for group in groups for row in group.kept(top)}
    told = explained(
        [row for row in ranking if id(row.score) in shown],
        sum(row.score.ok for row in ranking),
        pictures,
        outcome,
    )
    reasons = {id(row.score): row.reasons for row in told}
    return [
        replace(
            group,
            images=tuple(replace(row, reasons=reasons.get(id(row.score))) for row in group.images),
        )
        for group in groups
    ]
