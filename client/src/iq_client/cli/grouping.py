"""Photos put into groups by a command: fingerprints are taken as the photos are sent."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import click

from iq_client.cli.progress import progress
from iq_client.cli.resume import Kept
from iq_client.cli.scoring import Outcome, until_interrupted
from iq_client.errors import InputError
from iq_client.groups import (
    UNKNOWN,
    Fingerprints,
    Grouping,
    fingerprint,
    group_images,
)
from iq_client.images.source import Source
from iq_client.results import Group, RankKey, Score


class Grouper:
    """The photos of a command, and what is known of them for grouping."""

    def __init__(self) -> None:
        """Begins without photos; raises click.UsageError where the extra is not installed."""
        try:
            fingerprint(b"")
        except ImportError as error:
            raise click.UsageError(str(error)) from error
        self._prints = Fingerprints()
        self._sources: list[Source] = []

    def watch(self, sources: Iterable[Source]) -> Iterator[Source]:
        """The same sources; reading one takes its fingerprint as well."""
        for source in sources:
            self._sources.append(self._prints.watch(source))
            yield self._sources[-1]

    def groups(
        self,
        scores: Sequence[Score],
        *,
        kept: Kept,
        outcome: Outcome,
        grouping: Grouping | None = None,
        sets: bool = True,
        key: RankKey = "mean",
    ) -> list[Group]:
        """Groups of photos that passed.

        Args:
            scores: One for each, in their order; fewer after Ctrl-C.
            kept: Scores of an earlier run: their photos are read now.
            outcome: Is told of Ctrl-C.
            grouping: As of `group_images`, like the following.
            sets: Whether brackets, stacks and panoramas are looked for.
            key: Order of members and groups.
        """
        # Of what an earlier run scored nothing was read that a fingerprint could be taken from.
        known = [source for source, score in zip(self._sources, scores, strict=False)
                 if kept.find(score.source) is not None]  # fmt: skip
        read(known, outcome)
        fingerprints = [
            taken if score.ok else UNKNOWN
            for score, taken in zip(scores, self._prints.first(len(scores)), strict=True)
        ]
        return group_images(scores, fingerprints, grouping=grouping, sets=sets, key=key)


def label(group: Group, top: int | None) -> str:
    """A word on the group of photos that are shown, such as `best of 7` or `bracket of 3`."""
    members, shown = len(group.images), len(group.kept(top))
    if group.kind is not None:
        return f"{group.kind} of {members}"
    if shown == members:
        return ""
    return f"best of {members}" if shown == 1 else f"best {shown} of {members}"


def tell_left_out(groups: Iterable[Group], top: int | None, option: str) -> None:
    """Says on stderr what an option leaves out of groups, and which it keeps whole."""
    left_out = thinned = 0
    whole: Counter[str] = Counter()
    for group in groups:
        less = len(group.images) - len(group.kept(top))
        left_out += less
        thinned += less > 0
        if group.kind is not None:
            whole[group.kind] += 1
    parts = []
    if left_out:
        parts.append(f"left out by {option}: {left_out} photos of {thinned} groups")
    if whole:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in whole.most_common())
        parts.append(f"kept whole: {kinds}")
    if parts:
        click.echo("; ".join(parts), err=True)


def read(sources: Sequence[Source], outcome: Outcome) -> None:
    """Reads photos for their fingerprints alone; those that Ctrl-C left out stay without one."""
    if not sources:
        return

    stop = threading.Event()

    def one(source: Source) -> None:
        if not stop.is_set():
            with contextlib.suppress(InputError):  # gone since it was scored
                source.load()

    def read() -> Iterator[None]:
        yield from pool.map(one, sources)  # none is begun before Ctrl-C is waited for

    reading = Outcome()  # its own: Ctrl-C while scoring does not leave out the reading
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        until_interrupted(read(), reading, cancel=stop.set, cancellable=lambda: True) as done,
        progress("hashing", len(sources)) as bar,
    ):
        for _ in done:
            bar.advance()
    outcome.interrupted |= reading.interrupted
