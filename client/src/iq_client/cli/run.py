"""Scoring for a command: progress, resuming, and what the exit code will be."""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from types import FrameType
from typing import TypeVar

import click
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

from iq_client.cli.inputs import Paths
from iq_client.cli.resume import Kept
from iq_client.client import Client
from iq_client.inputs import InputOptions, expand
from iq_client.results import Score

T = TypeVar("T")

SCORED = 0
SOME_FAILED = 1
INTERRUPTED = 130  # what shells report for Ctrl-C


@dataclass(slots=True)
class Outcome:
    """What a command's exit code tells."""

    failed: bool = False
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """One of the documented codes."""
        if self.interrupted:
            return INTERRUPTED
        return SOME_FAILED if self.failed else SCORED


@contextmanager
def scores(
    client: Client, paths: Paths, *, options: InputOptions, kept: Kept, outcome: Outcome
) -> Iterator[Iterator[Score]]:
    """The scores of all images that `paths` name, in their order, with progress on a terminal.

    The first one is there before the block begins, so that a server that cannot be used is known
    before any file is written. Ctrl-C ends the block, not the command: what was done is used.

    Args:
        client: Scores what is not known yet.
        paths: What the command line named.
        options: How the paths are taken.
        kept: Scores from an earlier run; new ones are added.
        outcome: Is told of scores that failed and of Ctrl-C.

    Yields:
        An iterator of one score per image.
    """
    names = (source.name for source in expand(paths, options))
    with (
        closing(_merged(client, names, kept)) as merged,
        until_interrupted(merged, outcome) as found,
        progress("scoring", lambda: _count(paths, options)) as advance,
    ):

        def noted() -> Iterator[Score]:
            for score in found:
                advance()
                outcome.failed |= not score.ok
                kept.keep(score)
                yield score

        rest = noted()
        first = list(islice(rest, 1))
        if not first and not outcome.interrupted:
            click.echo("no photos found", err=True)
        yield chain(first, rest)


@contextmanager
def until_interrupted(items: Iterator[T], outcome: Outcome) -> Iterator[Iterator[T]]:
    """`items` as an iterator that Ctrl-C ends, so that what was done can be used.

    Ctrl-C while an item is being worked with lets that finish; a second one ends the command.

    Args:
        items: What may take long to come.
        outcome: Is told of Ctrl-C.

    Yields:
        The same items.
    """
    waiting = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        again, outcome.interrupted = outcome.interrupted, True
        if waiting or again:
            raise KeyboardInterrupt

    def until() -> Iterator[T]:
        nonlocal waiting
        while not outcome.interrupted:
            try:
                waiting = True
                item = next(items)
            except (StopIteration, KeyboardInterrupt):
                break
            finally:
                waiting = False
            yield item
        if outcome.interrupted:
            click.echo("interrupted: this is what was done", err=True)

    if threading.current_thread() is not threading.main_thread():
        yield items  # only the main thread is told of Ctrl-C
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield until()
    finally:
        signal.signal(signal.SIGINT, before)


def _count(paths: Paths, options: InputOptions) -> int | None:
    """How many images there are, where that can be known beforehand."""
    return sum(1 for _ in expand(paths, options)) if paths.countable else None


def _merged(client: Client, names: Iterable[str], kept: Kept) -> Generator[Score, None, None]:
    """Known scores and new ones in the order of the names."""
    order: deque[Score | None] = deque()  # None stands for a score that is still to come

    def unknown() -> Iterator[str]:
        for name in names:
            score = kept.get(name)
            order.append(score)
            if score is None:
                yield name

    for score in client.iter_scores(unknown()):
        while (earlier := order.popleft()) is not None:
            yield earlier
        yield score
    yield from (earlier for earlier in order if earlier is not None)


class _Rate(ProgressColumn):
    """Photos per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s", style="progress.data.speed")


@contextmanager
def progress(what: str, count: Callable[[], int | None]) -> Iterator[Callable[[], None]]:
    """A bar with rate and time to go on a terminal's stderr; nothing elsewhere.

    Args:
        what: Is done.
        count: Finds out how often, or None. It is called in a thread of its own, since it may take
            as long as listing a large disk does, and only where the bar is shown.

    Yields:
        A function to call after each time.
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
        task = bar.add_task(what, total=None)
        if console.is_terminal:
            threading.Thread(
                target=lambda: bar.update(task, total=count()), name="count", daemon=True
            ).start()
        yield lambda: bar.advance(task)
