"""Progress of long work: told on the terminal, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import track

# Wraps the items of some work, given their number and a title.
Progress = Callable[[Iterable[Any], int, str], Iterator[Any]]


def silent(items: Iterable[Any], count: int, title: str) -> Iterator[Any]:
    """Tells nothing."""
    return iter(items)


def on_terminal(items: Iterable[Any], count: int, title: str) -> Iterator[Any]:
    """Tells by a bar on stderr."""
    yield from track(items, title, count, console=Console(stderr=True))
