"""Results for people, in a terminal or a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import IO

import click
from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from iq_client.results import VOTES, ImageError, RankedImage, Score

_LEAST_NAME = 16  # cells of a table
_END_OF_NAME = 12
_LEVELS = "▁▂▃▄▅▆▇█"
_PIPE_WIDTH = 10_000  # in a pipe no name is cut


def sparkline(distribution: Sequence[float]) -> str:
    """The ten probabilities as ten bars; the highest one is full."""
    most = max(distribution)
    return "".join(_LEVELS[round(p / most * (len(_LEVELS) - 1))] for p in distribution)


def printable(text: str) -> str:
    """`text` with what a terminal would act on, or cannot show, as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


class _Name:
    """A path that loses letters of its middle where a table's column is narrower."""

    def __init__(self, name: str) -> None:
        self._text = printable(name)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One line."""
        yield Text(shortened(self._text, options.max_width), no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """A few letters at least; the whole at most."""
        whole = cell_len(self._text)
        return Measurement(min(whole, _LEAST_NAME), whole)


def shortened(text: str, width: int) -> str:
    """`text` in `width` cells of a terminal; its end, which tells frames apart, is kept longest."""
    if cell_len(text) <= width:
        return text
    end = min(_END_OF_NAME, width // 2)
    last = set_cell_size(text[::-1], end)[::-1]
    return f"{set_cell_size(text, max(width - end - 1, 0))}…{last}"


def console(file: IO[str] | None = None) -> Console:
    """A console on stdout (or `file`) that leaves the text alone where it is no terminal."""
    stream = file or sys.stdout
    return Console(file=stream, width=None if stream.isatty() else _PIPE_WIDTH, highlight=False)


def show(*renderables: RenderableType) -> None:
    """Prints to stdout; in a pipe without the spaces that fill a table's last column."""
    out = console()
    if out.is_terminal:
        out.print(*renderables, sep="\n")
        return
    with out.capture() as captured:
        out.print(*renderables, sep="\n")
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def print_ranking(rows: Iterable[RankedImage], *, groups: Sequence[int] | None = None) -> None:
    """Rank, mean, spread, distribution and path; then what failed.

    Args:
        rows: The ranking; one that failed has no rank.
        groups: The number of each row's group, where there are groups.
    """
    rows = list(rows)
    table = _table()
    if groups is not None:
        table.add_column("group", justify="right")
    table.add_column("#", justify="right", style="bold")
    percentiles = _score_columns(table, [row.score for row in rows])
    previous = None
    for index, row in enumerate(rows):
        if not row.score.ok:
            continue
        first = []
        if groups is not None:
            first = [str(groups[index]) if groups[index] != previous else ""]
            previous = groups[index]
        table.add_row(*first, str(row.rank), *_score_cells(row.score, percentiles))
    _print(table, [row.score for row in rows])


def print_scores(scores: Iterable[Score]) -> None:
    """Mean, spread, distribution and path in the order given; then what failed."""
    scores = list(scores)
    table = _table()
    percentiles = _score_columns(table, scores)
    for score in scores:
        if score.ok:
            table.add_row(*_score_cells(score, percentiles))
    _print(table, scores)


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)


def _score_columns(table: Table, scores: Sequence[Score]) -> bool:
    """Adds the columns of scores; returns whether that of percentiles is among them."""
    percentiles = any(score.percentile is not None for score in scores)
    table.add_column("mean", justify="right")
    table.add_column("± std", justify="right", style="dim")
    if percentiles:
        table.add_column("beats", justify="right")
    table.add_column(f"votes {VOTES[0]}-{VOTES[-1]}", no_wrap=True, style="cyan")
    table.add_column("photo", overflow="fold")
    return percentiles


def _score_cells(score: Score, percentiles: bool) -> list[str | _Name]:
    beats = "" if score.percentile is None else f"{score.percentile:.0f} %"
    return [
        f"{score.mean:.2f}",
        f"{score.std:.2f}",
        *([beats] if percentiles else []),
        sparkline(score.distribution),
        _Name(score.source),
    ]


def _print(table: Table, scores: Sequence[Score]) -> None:
    failures: list[tuple[str, ImageError]] = [
        (score.source, score.error) for score in scores if score.error is not None
    ]
    parts: list[RenderableType] = [table] if table.row_count else []
    if failures:
        failed = _table()
        failed.add_column("not scored", style="red")
        failed.add_column("why", overflow="fold")
        failed.add_column("photo", overflow="fold")
        for source, error in failures:
            failed.add_row(
                Text(printable(error.code)), Text(printable(error.message)), _Name(source)
            )
        parts += ["", failed] if parts else [failed]
    if parts:
        show(*parts)
