"""A progress bar on a terminal's stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    """Photos per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s", style="progress.data.speed")


class Bar:
    """The bar of one activity.

    Attributes:
        shown: True on a terminal; elsewhere nothing is drawn.
    """

    def __init__(self, progress: Progress, label: str, total: int | None) -> None:
        self.shown = not progress.disable
        self._progress = progress
        self._task = progress.add_task(label, total=total)

    def advance(self, count: int = 1) -> None:
        """Counts things that are done."""
        self._progress.advance(self._task, count)

    def label(self, text: str) -> None:
        """Changes what stands in front of the bar."""
        self._progress.update(self._task, description=text)

    def expect(self, total: int) -> None:
        """Sets the number of things to do, where it was not known at the start."""
        self._progress.update(self._task, total=total)


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Bar]:
    """A bar with rate and time to go on a terminal's stderr; nothing elsewhere.

    Args:
        label: Name of the activity, in front of the bar.
        total: Things to do, where that is known.

    Yields:
        The bar, to be told of each thing that is done.
    """
    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        yield Bar(bar, label, total)
