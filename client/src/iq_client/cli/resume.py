"""Scores of an earlier run, kept in a file that grows.

Of a row only a digest of its source and its place in the file are in memory, so that a file may
have as many rows as a disk has.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import click
import numpy as np

from iq_client.cli.output import OutputOptions
from iq_client.cli.tables import printable
from iq_client.client import Client
from iq_client.files import lock, replacing
from iq_client.formats import (
    WriteRow,
    format_of,
    open_writer,
    read_lines,
    read_scores,
    valid_text,
)
from iq_client.results import Score, TowerIdentity

# The place of a row. With it the source where that is not the text in the file: a name that is not
# valid Unicode.
Row: TypeAlias = int | tuple[int, str]

_Check: TypeAlias = Callable[[Score], bool]

_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class ResumeOptions:
    """The file of an earlier run that a command line names.

    Attributes:
        path: The file, or None.
        mix_towers: Whether scores of another tower are kept beside the new ones.
    """

    path: Path | None
    mix_towers: bool


def resume_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --resume and --mix-towers to a command, which gets them as `resume`."""

    @functools.wraps(command)
    def called(resume: Path | None, mix_towers: bool, **arguments: Any) -> Any:
        if mix_towers and resume is None:
            raise click.UsageError("--mix-towers belongs to --resume")
        output = arguments.get("output")
        for option, path in (
            ("--output", output.path if isinstance(output, OutputOptions) else None),
            ("--html", arguments.get("html")),
        ):
            if resume is not None and path is not None and _same_file(resume, path):
                # The output has the rows that this command shows, the other all that were scored.
                raise click.UsageError(f"{option} and --resume are one file: take two")
        return command(resume=ResumeOptions(resume, mix_towers), **arguments)

    called = click.option(
        "--mix-towers",
        is_flag=True,
        help="Keep scores of another tower in --resume; their `tower` tells them apart.",
    )(called)
    return click.option(
        "--resume",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Keep scores in this .jsonl or .parquet; photos in it are not scored again.",
    )(called)


class Index:
    """The places of rows by their sources."""

    def __init__(self) -> None:
        self._digests = bytearray()
        self._places = array("q")
        self._sorted: np.ndarray[Any, np.dtype[np.bytes_]] | None = None
        self._order = np.empty(0, np.int64)

    def add(self, source: str, place: int) -> None:
        """Adds a row, before the first look-up."""
        self._digests += _digest(source)
        self._places.append(place)

    def close(self) -> None:
        """Ends the adding: rows can be looked up from here on."""
        digests = np.frombuffer(self._digests, f"S{_DIGEST_BYTES}")
        self._order = digests.argsort(kind="stable")
        self._sorted = digests[self._order]
        self._digests = bytearray()

    def find(self, source: str) -> int | None:
        """The place of the last row of a source, or None where there is none."""
        if self._sorted is None or not len(self._sorted):
            return None
        digest = np.bytes_(_digest(source).rstrip(b"\0"))  # as NumPy gives it back
        last = int(np.searchsorted(self._sorted, digest, side="right")) - 1
        if last < 0 or self._sorted[last] != digest:
            return None
        return self._places[int(self._order[last])]


class Kept:
    """The scores of earlier runs, and the file where new ones are kept."""

    def __init__(
        self,
        index: Index | None = None,
        rows: BinaryIO | None = None,
        write: WriteRow | None = None,
    ) -> None:
        """Takes what is there.

        Args:
            index: Places in `rows`; None for no earlier scores.
            rows: JSON lines.
            write: Writes one row; None where new scores are not kept.
        """
        self._index = index
        self._rows = rows
        self._write = write

    def find(self, source: str) -> Row | None:
        """The row of a source, or None where there is none yet."""
        if self._index is None:
            return None
        text = valid_text(source)
        place = self._index.find(text)
        return place if place is None or text == source else (place, source)

    def read(self, row: Row) -> Score:
        """The score in a row that was found."""
        if self._rows is None:
            raise ValueError("there are no rows to read")
        place, source = row if isinstance(row, tuple) else (row, None)
        self._rows.seek(place)
        score = Score.from_dict(json.loads(self._rows.readline()))
        return score if source is None else replace(score, source=source)

    def keep(self, score: Score) -> None:
        """Writes a new score; one that failed is not kept, so that it is tried again."""
        if self._write is not None and score.ok:
            self._write(score.to_dict())


@contextmanager
def kept(resume: ResumeOptions, client: Client) -> Iterator[Kept]:
    """The scores in a JSON lines or Parquet file, which new ones are added to.

    JSON lines are written one by one, so that nothing is lost when the process is killed; a
    Parquet file is replaced when the block ends.

    Args:
        resume: The file, or none.
        client: Its tower is the one that the scores have to be of.

    Raises:
        click.UsageError: The file is of another format, is no file of scores, cannot be written,
            or has scores of another tower.
        ConnectError: The server cannot be asked for its tower.
    """
    if resume.path is None:
        yield Kept()
        return
    with ExitStack() as stack:
        try:
            file_format = format_of(resume.path)
            if file_format not in ("jsonl", "parquet"):
                raise ValueError("only .jsonl and .parquet can be resumed")
            tower = client.server_info().tower
            check = _check_of(None if tower is None else tower.label, mix_towers=resume.mix_towers)
            if file_format == "jsonl":
                opened = _lines(resume.path, check)
            else:
                opened = _parquet(resume.path, check, tower)
            earlier = stack.enter_context(opened)
        except (ValueError, OSError, ImportError) as error:
            raise click.UsageError(f"--resume {resume.path}: {error}") from error
        yield earlier


@contextmanager
def _lines(path: Path, check: _Check) -> Iterator[Kept]:
    """The scores in a JSON lines file."""
    index = Index()
    with path.open("ab") as stream, path.open("rb") as rows:
        lock(stream)
        for place, score in read_lines(path):
            if check(score):
                index.add(valid_text(score.source), place)
        index.close()
        stream.truncate(_whole_lines(path))
        with open_writer("jsonl", stream) as write:
            yield Kept(index, rows, write)


@contextmanager
def _parquet(path: Path, check: _Check, tower: TowerIdentity | None) -> Iterator[Kept]:
    """The scores in a Parquet file.

    Its rows cannot be read one by one: meanwhile they lie in a file of lines as well.
    """
    index = Index()
    with (
        tempfile.TemporaryFile(dir=path.parent) as rows,
        replacing(path) as stream,
        open_writer("parquet", stream, tower=tower) as write,
    ):
        for score in read_scores(path) if path.exists() else ():
            if check(score):
                index.add(valid_text(score.source), rows.tell())
                rows.write(json.dumps(score.to_dict()).encode() + b"\n")
                write(score.to_dict())
        index.close()
        yield Kept(index, rows, write)


def _check_of(tower: str | None, *, mix_towers: bool) -> _Check:
    """A function that tells whether a row is kept, and raises `ValueError` for another tower's."""

    def check(score: Score) -> bool:
        if score.ok and score.tower != tower and not mix_towers:
            raise ValueError(
                f"its scores are of {_in_words(score.tower)}, the server has {_in_words(tower)}. "
                f"Take another file, or --mix-towers to have both in it"
            )
        return score.ok  # one that failed is tried again

    return check


def _in_words(tower: str | None) -> str:
    return f"the tower {printable(tower)}" if tower else "a tower that is not named"


def _digest(source: str) -> bytes:
    return hashlib.blake2b(source.encode(), digest_size=_DIGEST_BYTES).digest()


def _same_file(one: Path, other: Path) -> bool:
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()


def _whole_lines(path: Path) -> int:
    """The size of a file without a last line that was cut off while being written."""
    with path.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 65536)
            stream.seek(start)
            newline = stream.read(end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
    return 0
