"""Scoring for a command: known scores and new ones merged, progress, Ctrl-C, the exit code."""

from __future__ import annotations

import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from queue import SimpleQueue
from types import FrameType
from typing import Any, TypeVar

import click

from iq_client.cli import exit_codes
from iq_client.cli.progress import progress
from iq_client.cli.resume import Kept, Row
from iq_client.client import Client
from iq_client.images.source import Source
from iq_client.results import Score

T = TypeVar("T")


@dataclass(slots=True)
class Outcome:
    """Facts that a command's exit code and its last lines on stderr tell.

    Attributes:
        failed: Whether an image was not scored.
        interrupted: Whether Ctrl-C ended the scoring.
        scored: Count of images with a score.
        errors: Counts of images without one, by code.
        left_out: Counts of files that were found and are no photos, by kind.
        unsupported: Counts of photos that need a decoder, by what to do about it.
    """

    failed: bool = False
    interrupted: bool = False
    scored: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    unsupported: Counter[str] = field(default_factory=Counter)

    def leave_out(self, kind: str) -> None:
        """Counts a file or folder that is left out."""
        self.left_out[kind] += 1

    def note(self, score: Score) -> None:
        """Takes account of a score."""
        if score.error is None:
            self.scored += 1
        else:
            self.failed = True
            self.errors[score.error.code] += 1
            if score.error.code == "UNSUPPORTED":
                self.unsupported[score.error.message] += 1

    def tell(self) -> None:
        """Says on stderr what of the folders is not among the scores."""
        for message, count in self.unsupported.most_common():
            click.echo(f"not scored: {count} x {message}", err=True)
        if self.left_out:
            kinds = ", ".join(f"{count} x {kind}" for kind, count in self.left_out.most_common())
            click.echo(f"left out: {kinds}", err=True)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping of the counts."""
        return {
            "photos": self.scored + self.errors.total(),
            "scored": self.scored,
            "errors": dict(sorted(self.errors.items())),
            "left_out": dict(self.left_out.most_common()),
            "interrupted": self.interrupted,
        }

    @property
    def exit_code(self) -> int:
        """One of the documented codes."""
        if self.interrupted:
            return exit_codes.INTERRUPTED
        return exit_codes.SOME_FAILED if self.failed else exit_codes.SCORED


@contextmanager
def scores(
    client: Client, sources: Iterable[Source], *, countable: bool, kept: Kept, outcome: Outcome
) -> Iterator[Iterator[Score]]:
    """The scores of all images, in their order, with progress on a terminal.

    The first one is there before the block begins, so that a server that cannot be used is known
    before any file is written. Ctrl-C ends the block, not the command: what was done is used.

    Args:
        client: Scores the images that are not known yet.
        sources: The images that the command line names; gone through once.
        countable: Whether all of them may be looked up before they are scored.
        kept: Scores from an earlier run; new ones are added.
        outcome: Is told of scores that failed and of Ctrl-C; tells on stderr of what was left out.

    Yields:
        An iterator of one score per image.
    """
    with progress("scoring") as bar:
        if bar.shown and countable:
            sources = _ahead(sources, bar.expect)
        watched = _Watched(sources)
        with (
            closing(_merged(client, watched, kept)) as merged,
            until_interrupted(
                merged, outcome, cancel=client._cancel, cancellable=lambda: watched.given
            ) as found,
        ):

            def noted() -> Iterator[Score]:
                for score, new in found:
                    bar.advance()
                    outcome.note(score)
                    if new:
                        kept.keep(score)
                    yield score

            rest = noted()
            first = list(islice(rest, 1))
            if not first and not outcome.interrupted:
                click.echo("no photos found", err=True)
                outcome.failed = bool(outcome.left_out)  # nothing of what is there was scored
            yield chain(first, rest)
    outcome.tell()


class _Watched:
    """Sources, of which it is known whether the next one is being looked for.

    Attributes:
        given: True between the giving of a source and the asking for the next.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = iter(sources)
        self.given = False

    def __iter__(self) -> Iterator[Source]:
        return self

    def __next__(self) -> Source:
        self.given = False
        try:
            return next(self._sources)
        finally:
            self.given = True


@contextmanager
def until_interrupted(
    items: Iterator[T],
    outcome: Outcome,
    *,
    cancel: Callable[[], None],
    cancellable: Callable[[], bool],
) -> Iterator[Iterator[T]]:
    """`items` as an iterator that Ctrl-C ends, so that what was done can be used.

    Ctrl-C while an item is being worked with lets that finish; a second one ends the command.

    Args:
        items: Things that may take long to come.
        outcome: Is told of Ctrl-C.
        cancel: Makes the next item come at once; called by a thread of its own. An exception out of
            the middle of waiting for other threads could leave a lock taken that they need to end.
        cancellable: True where `cancel` is to be used; elsewhere the waiting is broken off by an
            exception.

    Yields:
        The same items.
    """
    waiting = False
    interrupts: SimpleQueue[bool] = SimpleQueue()  # its put may be called in a signal's handler

    def cancel_once() -> None:
        if interrupts.get():
            cancel()

    def interrupt(number: int, frame: FrameType | None) -> None:
        again, outcome.interrupted = outcome.interrupted, True
        if again or (waiting and not cancellable()):
            raise KeyboardInterrupt
        if waiting:
            interrupts.put(True)

    def until() -> Iterator[T]:
        nonlocal waiting
        while not outcome.interrupted:
            try:
                waiting = True
                item = next(items)
            except (StopIteration, KeyboardInterrupt):
                break
            except CancelledError:
                if outcome.interrupted:
                    break
                raise
            finally:
                waiting = False
            if outcome.interrupted:  # the item is what was cancelled
                break
            yield item
        if outcome.interrupted:
            click.echo("interrupted: this is what was done", err=True)

    if threading.current_thread() is not threading.main_thread():
        yield items  # only the main thread is told of Ctrl-C
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        threading.Thread(target=cancel_once, name="interrupt", daemon=True).start()
        yield until()
    finally:
        signal.signal(signal.SIGINT, before)
        interrupts.put(False)


def _ahead(sources: Iterable[Source], tell: Callable[[int], None]) -> Iterator[Source]:
    """The same sources, looked up by a thread of their own, which tells at the end how many.

    Listing a large disk takes long: scoring need not wait for it, nor it for scoring.
    """
    found: SimpleQueue[Source | BaseException | None] = SimpleQueue()

    def look_up() -> None:
        count = 0
        try:
            for source in sources:
                found.put(source)
                count += 1
        except BaseException as error:  # for the thread that waits for sources
            found.put(error)
        else:
            tell(count)
            found.put(None)

    threading.Thread(target=look_up, name="look-up", daemon=True).start()
    while (item := found.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item


def _merged(
    client: Client, sources: Iterable[Source], kept: Kept
) -> Generator[tuple[Score, bool], None, None]:
    """Known scores and new ones, marked with True, in the order of the sources."""
    order: deque[Row | None] = deque()  # None stands for a score that is still to come

    def unknown() -> Iterator[Source]:
        for source in sources:
            row = kept.find(source.name)
            order.append(row)
            if row is None:
                yield source

    for score in client.iter_scores(unknown()):
        while (row := order.popleft()) is not None:
            yield kept.read(row), False
        yield score, True
    while order:
        if (row := order.popleft()) is not None:
            yield kept.read(row), False
