"""The images that a command line names."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import click

_STDIN = "-"
_READ_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Paths:
    """Paths from the command line, and those on stdin in the place of `-`."""

    given: tuple[str, ...]
    separator: bytes

    @property
    def countable(self) -> bool:
        """True where all of them are known before the first one is scored."""
        return _STDIN not in self.given

    def __iter__(self) -> Iterator[str]:
        for path in self.given:
            if path == _STDIN:
                yield from split(sys.stdin.buffer, self.separator)
            else:
                yield path


def split(stream: BinaryIO, separator: bytes) -> Iterator[str]:
    """The paths in a stream, as they come; empty ones are left out."""
    rest = b""
    # read1 gives what is there: a slow producer is not waited for until a buffer is full.
    while block := stream.read1(_READ_BYTES):  # type: ignore[attr-defined]
        *whole, rest = (rest + block).split(separator)
        yield from (os.fsdecode(path) for path in whole if path)
    if rest:
        yield os.fsdecode(rest)


def paths_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds PATH… and -0 to a command, which gets them as `paths: Paths`."""

    @functools.wraps(command)
    def called(path: tuple[str, ...], null: bool, **arguments: Any) -> Any:
        if null and _STDIN not in path:
            path = (*path, _STDIN)
        if not path:
            raise click.UsageError("Missing argument 'PATH...': photos, folders, globs, or - .")
        return command(paths=Paths(path, b"\0" if null else b"\n"), **arguments)

    called = click.option(
        "-0", "--null", is_flag=True, help="Paths on stdin end with NUL (find -print0)."
    )(called)
    return click.argument("path", nargs=-1, type=click.Path(allow_dash=True))(called)
