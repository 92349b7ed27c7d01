"""Where a command's results go: a table on stdout, or rows of a format to stdout or a file."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import click

from iq_client.formats import FILE_FORMATS, FileFormat, WriteRow, format_of, open_writer

TABLE = "table"


min_score_option = click.option(
    "--min-score",
    type=float,
    default=-math.inf,
    metavar="MEAN",
    help="Leave out photos with a lower mean.  [default: leave out none]",
)


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """The output that a command line asks for.

    Attributes:
        file_format: A format of rows, or None for a table.
        path: The file to write; None for stdout.
    """

    file_format: FileFormat | None
    path: Path | None

    @contextmanager
    def writer(self, leading: Sequence[str] = ()) -> Iterator[WriteRow]:
        """Gives a function that writes one row; the file is complete when the block ends.

        Raises:
            click.UsageError: The format needs a package that is not installed.
        """
        if self.file_format is None:
            raise ValueError("a table has no rows to write one by one")
        with self._stream() as stream:
            try:
                writer = open_writer(self.file_format, stream, leading)
            except ImportError as error:
                raise click.UsageError(str(error)) from error
            with writer as write:
                yield write

    @contextmanager
    def _stream(self) -> Iterator[BinaryIO]:
        if self.path is None:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
            return
        try:
            stream = self.path.open("wb")
        except OSError as error:
            raise click.UsageError(f"cannot write {self.path}: {error.strerror}") from error
        with stream:
            yield stream


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --format and -o to a command, which gets them as `output: OutputOptions`."""

    @functools.wraps(command)
    def called(format: str | None, output: Path | None, **arguments: Any) -> Any:  # noqa: A002
        return command(output=_chosen(format, output), **arguments)

    called = click.option(
        "-o",
        "--output",
        type=click.Path(dir_okay=False, writable=True, path_type=Path),
        help="Write to this file; its ending says the format.",
    )(called)
    return click.option(
        "--format",
        type=click.Choice([TABLE, *FILE_FORMATS]),
        help=f"What is written.  [default: {TABLE}, or by the ending of --output]",
    )(called)


def _chosen(name: str | None, path: Path | None) -> OutputOptions:
    if name is None and path is not None:
        try:
            return OutputOptions(format_of(path), path)
        except ValueError as error:
            raise click.UsageError(f"{error}, or --format") from error
    if name is None or name == TABLE:
        if path is not None:
            raise click.UsageError("a table goes to the terminal; give --output another format")
        return OutputOptions(None, None)
    if name == "parquet" and path is None and sys.stdout.isatty():
        raise click.UsageError("Parquet is not for a terminal; give --output FILE")
    return OutputOptions(next(known for known in FILE_FORMATS if known == name), path)
