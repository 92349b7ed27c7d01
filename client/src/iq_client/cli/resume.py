"""Scores of an earlier run, kept in a file that grows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from iq_client.formats import WriteRow, format_of, open_writer, read_scores, valid_text
from iq_client.results import Score

resume_option = click.option(
    "--resume",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep scores in this .jsonl or .parquet; photos in it are not scored again.",
)


@dataclass(frozen=True, slots=True)
class Kept:
    """The scores of earlier runs, and the file where new ones are kept."""

    _known: dict[str, Score] = field(default_factory=dict)
    _write: WriteRow | None = None

    def get(self, source: str) -> Score | None:
        """The score of a source, or None where there is none yet."""
        score = self._known.get(valid_text(source))
        return None if score is None else replace(score, source=source)

    def keep(self, score: Score) -> None:
        """Writes a new score; one that failed is not kept, so that it is tried again."""
        if self._write is not None and score.ok and valid_text(score.source) not in self._known:
            self._write(score.to_dict())


@contextmanager
def kept(path: Path | None) -> Iterator[Kept]:
    """The scores in a JSON lines or Parquet file, which new ones are added to.

    JSON lines are written one by one, so that nothing is lost when the process is killed; a
    Parquet file is replaced when the block ends.

    Raises:
        click.UsageError: The file is of another format, is no file of scores or cannot be written.
    """
    if path is None:
        yield Kept()
        return
    try:
        file_format = format_of(path)
        if file_format not in ("jsonl", "parquet"):
            raise ValueError("only .jsonl and .parquet can be resumed")
        known = _read(path)
    except (ValueError, OSError, ImportError) as error:
        raise click.UsageError(f"--resume {path}: {error}") from error
    if file_format == "jsonl":
        with path.open("ab") as stream:
            stream.truncate(_whole_lines(path))
            with open_writer("jsonl", stream) as write:
                yield Kept(known, write)
        return
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as stream, open_writer("parquet", stream) as write:
            for score in known.values():
                write(score.to_dict())
            yield Kept(known, write)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Score]:
    if not path.exists():
        return {}
    return {valid_text(score.source): score for score in read_scores(path) if score.ok}


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
