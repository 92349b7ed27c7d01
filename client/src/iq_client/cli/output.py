"""Results of a command: a table on stdout, or rows of a format to stdout or a file."""

from __future__ import annotations

import functools
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import click

from iq_client.client import Client
from iq_client.files import replacing
from iq_client.formats import (
    FILE_FORMATS,
    FileFormat,
    WriteRow,
    format_of,
    import_pyarrow,
    open_writer,
)
from iq_client.results import TowerIdentity

TABLE = "table"


class FileToWrite(click.Path):
    """A file to be written after the work, which must not fail for want of a folder then."""

    name = "file"

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path:
        """The path, whose folder is there and can be written to."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        replaced = path.is_file() or not path.exists()  # the others are devices and pipes
        if replaced and not os.access(path.resolve().parent, os.W_OK):
            self.fail(f"cannot write {path}: no folder {path.parent} to write to", param, ctx)
        return path


min_score_option = click.option(
    "--min-score",
    type=float,
    default=-math.inf,
    metavar="MEAN",
    help="Leave out photos with a lower mean.  [default: leave out none]",
)


class _Terminal(io.BufferedIOBase):
    """Rows on a terminal: what it would act on goes there as escapes, JSON's own in JSON."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        lines = bytes(data).decode("utf-8").split("\n")  # whole texts of the writers
        self._out.write("\n".join(map(_without_controls, lines)).encode("utf-8"))
        self._out.flush()
        return len(data)


def _without_controls(line: str) -> str:
    ending = "\r" if line.endswith("\r") else ""  # of CSV
    shown = (
        character if character.isprintable() else json.dumps(character)[1:-1]
        for character in line.removesuffix(ending)
    )
    return "".join(shown) + ending


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
    def writer(
        self, leading: Sequence[str] = (), tower: TowerIdentity | None = None
    ) -> Iterator[WriteRow]:
        """Gives a function that writes one row; the file is replaced when the block ends."""
        if self.file_format is None:
            raise ValueError("a table has no rows to write one by one")
        with (
            self._stream() as stream,
            open_writer(self.file_format, stream, leading, tower) as write,
        ):
            yield write

    def tower(self, client: Client) -> TowerIdentity | None:
        """The network behind a client, where the file says more of it than its rows do.

        To be asked before the work: a server that goes away later must not cost what was done.
        """
        return client.server_info().tower if self.file_format == "parquet" else None

    @contextmanager
    def _stream(self) -> Iterator[BinaryIO]:
        if self.path is None:
            out = sys.stdout.buffer
            yield cast("BinaryIO", _Terminal(out)) if sys.stdout.isatty() else out
            out.flush()
            return
        try:
            with replacing(self.path) as stream:
                yield stream
        except OSError as error:
            raise click.FileError(str(self.path), error.strerror) from error


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --format and -o to a command, which gets them as `output: OutputOptions`."""

    @functools.wraps(command)
    def called(format: str | None, output: Path | None, **arguments: Any) -> Any:  # noqa: A002
        return command(output=_chosen(format, output), **arguments)

    called = click.option(
        "-o",
        "--output",
        type=FileToWrite(),
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
            file_format = format_of(path)
        except ValueError as error:
            if path.suffix.lower() in (".html", ".htm"):
                raise click.UsageError(
                    f"{path} would be a gallery: rank and groups write one with --html {path}"
                ) from error
            raise click.UsageError(f"{error}, or --format") from error
    elif name is None or name == TABLE:
        if path is not None:
            raise click.UsageError("a table goes to the terminal; give --output another format")
        return OutputOptions(None, None)
    else:
        file_format = next(known for known in FILE_FORMATS if known == name)
    if file_format == "parquet":
        if path is None and sys.stdout.isatty():
            raise click.UsageError("Parquet is not for a terminal; give --output FILE")
        try:
            import_pyarrow()
        except ImportError as error:
            raise click.UsageError(str(error)) from error
    return OutputOptions(file_format, path)
