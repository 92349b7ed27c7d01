"""Results as files: JSON, JSON lines, CSV and Parquet, written row by row and read back.

A row is `Score.to_dict()` with, where it helps, columns in front: whole numbers such as `rank` and
`group`, and the text `kind`. One with a rank has `reasons` behind.
The writers keep at most a few thousand rows, and what was written is a complete file even when the
run ends early. Text that is not valid Unicode (file names in another encoding) is written with
backslash escapes, which in JSON are the very characters again when read. In CSV, text that a
spreadsheet would take for a formula has a `'` in front.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from iq_client.results import VOTES, Score, TowerIdentity

if TYPE_CHECKING:
    import pyarrow

FileFormat = Literal["json", "jsonl", "csv", "parquet"]
FILE_FORMATS: tuple[FileFormat, ...] = ("json", "jsonl", "csv", "parquet")

Row = dict[str, Any]
WriteRow = Callable[[Row], None]

# The last four are the full-width forms, which spreadsheets take for the plain ones.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
TEXT_COLUMNS = frozenset({"kind"})  # among those in front of the score's; the others are numbers
TOWER_KEY = "tower.json"  # of a Parquet file's metadata
_RANK = "rank"
_PARQUET_ROWS = 4096  # rows in memory: of a row group that is written, or a batch that is read


def format_of(path: str | Path) -> FileFormat:
    """The format that a file's ending names.

    Raises:
        ValueError: The ending is none of `.json`, `.jsonl`, `.csv`, `.parquet`.
    """
    ending = Path(path).suffix.lower().removeprefix(".")
    for known in FILE_FORMATS:
        if ending == known:
            return known
    endings = ", ".join(f".{known}" for known in FILE_FORMATS)
    raise ValueError(f"cannot tell the format of {str(path)!r}; use one of the endings {endings}")


def open_writer(
    file_format: FileFormat,
    stream: BinaryIO,
    leading: Sequence[str] = (),
    tower: TowerIdentity | None = None,
) -> AbstractContextManager[WriteRow]:
    """A context that gives a function writing one row to `stream`.

    Leaving the context, by an exception too, completes the file; the stream stays open.

    Args:
        file_format: One of `FILE_FORMATS`.
        stream: Where the bytes go.
        leading: Columns in front of the score's, in their order; `rank` brings `reasons` at the
            end.
        tower: The network that the scores are of; a Parquet file's metadata holds all of it under
            `tower.json`.

    Raises:
        ImportError: Parquet was asked for and pyarrow is not installed.
    """
    if file_format == "parquet":
        return _parquet_writer(stream, leading, tower, import_pyarrow())
    writers = {"json": _json_writer, "jsonl": _jsonl_writer, "csv": _csv_writer}
    return writers[file_format](stream, leading)


def read_scores(path: str | Path) -> Iterator[Score]:
    """The scores in a JSON lines or Parquet file, in its order.

    A last line without its newline is one that was cut off while being written; it is left out.

    Raises:
        ValueError: The file is of another format, or a line of it is not a score.
        ImportError: The file is Parquet and pyarrow is not installed.
    """
    file_format = format_of(path)
    if file_format == "jsonl":
        yield from (score for _, score in read_lines(path))
    elif file_format == "parquet":
        yield from _read_parquet(Path(path))
    else:
        raise ValueError(f"{str(path)!r} cannot be read back; only .jsonl and .parquet can")


def valid_text(text: str) -> str:
    """`text` as it stands in a file: what is not valid Unicode as backslash escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@contextmanager
def _text(stream: BinaryIO) -> Iterator[io.TextIOWrapper]:
    text = io.TextIOWrapper(stream, "utf-8", "backslashreplace", newline="")
    try:
        yield text
    finally:
        text.detach()  # flushes; closing would close the stream of the caller


@contextmanager
def _json_writer(stream: BinaryIO, leading: Sequence[str]) -> Iterator[WriteRow]:
    with _text(stream) as text:
        before = "[\n"

        def write(row: Row) -> None:
            nonlocal before
            text.write(before + _json_line(row))
            before = ",\n"

        try:
            yield write
        finally:
            text.write("[]\n" if before == "[\n" else "\n]\n")


@contextmanager
def _jsonl_writer(stream: BinaryIO, leading: Sequence[str]) -> Iterator[WriteRow]:
    with _text(stream) as text:

        def write(row: Row) -> None:
            text.write(_json_line(row) + "\n")
            text.flush()  # so that a reader follows along and a killed run has lost nothing

        yield write


def _json_line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False)


@contextmanager
def _csv_writer(stream: BinaryIO, leading: Sequence[str]) -> Iterator[WriteRow]:
    with _text(stream) as text:
        # The line ends of RFC 4180: with a bare "\n" a "\r" in a file name would not be quoted.
        table = csv.writer(text, lineterminator="\r\n")
        probabilities = [f"p{vote}" for vote in VOTES]
        table.writerow(
            [
                *leading,
                *("source", "mean", "std", "percentile"),
                *probabilities,
                *("error_code", "error_message", "tower"),
                *(["reasons"] if _RANK in leading else []),
            ]
        )

        def write(row: Row) -> None:
            distribution = row["distribution"] or [None] * len(VOTES)
            numbers = (row["mean"], row["std"], row["percentile"], *distribution)
            error = row["error"] or {"code": None, "message": None}
            table.writerow(
                [
                    *(row[name] for name in leading),
                    _harmless(row["source"]),
                    *map(_digits, numbers),
                    _harmless(error["code"]),
                    _harmless(error["message"]),
                    _harmless(row["tower"]),
                    *([" ".join(row["reasons"] or ())] if _RANK in leading else []),
                ]
            )

        yield write


def _harmless(text: str | None) -> str | None:
    """A cell that no spreadsheet takes for a formula: one that begins like one gets a `'`."""
    return f"'{text}" if text and text.startswith(_FORMULAS) else text


def _digits(number: float | None) -> str:
    # Nine significant digits tell any two FP32 numbers apart.
    return "" if number is None else f"{number:.9g}"


@contextmanager
def _parquet_writer(
    stream: BinaryIO, leading: Sequence[str], tower: TowerIdentity | None, pa: ModuleType
) -> Iterator[WriteRow]:
    from pyarrow import parquet

    schema = arrow_schema(leading)
    if tower is not None:
        schema = schema.with_metadata({TOWER_KEY: json.dumps(tower.to_dict())})
    rows: list[Row] = []
    with parquet.ParquetWriter(stream, schema) as table:

        def write(row: Row) -> None:
            rows.append(valid_row(row))
            if len(rows) == _PARQUET_ROWS:
                flush()

        def flush() -> None:
            if rows:
                table.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
                rows.clear()

        try:
            yield write
        finally:
            flush()


def arrow_schema(leading: Sequence[str] = ()) -> pyarrow.Schema:
    """The columns of rows in Arrow and Parquet.

    Args:
        leading: Columns in front of the score's, in their order; `rank` brings `reasons` at the
            end.

    Raises:
        ImportError: pyarrow is not installed.
    """
    pa = import_pyarrow()
    return pa.schema(
        [
            *(
                pa.field(name, pa.string() if name in TEXT_COLUMNS else pa.int64())
                for name in leading
            ),
            pa.field("source", pa.string(), nullable=False),
            pa.field("mean", pa.float64()),
            pa.field("std", pa.float64()),
            pa.field("percentile", pa.float64()),
            pa.field("distribution", pa.list_(pa.float64())),
            pa.field("error", pa.struct([("code", pa.string()), ("message", pa.string())])),
            pa.field("tower", pa.string()),
            *([pa.field("reasons", pa.list_(pa.string()))] if _RANK in leading else []),
        ]
    )


def valid_row(row: Row) -> Row:
    """A row whose texts are valid Unicode, as Arrow wants them; see `valid_text`."""
    error = row["error"]
    return {
        **row,
        "source": valid_text(row["source"]),
        "error": error and {"code": error["code"], "message": valid_text(error["message"])},
    }


def read_lines(path: str | Path) -> Iterator[tuple[int, Score]]:
    """The scores in a JSON lines file, each with the place in bytes where its line begins.

    Raises:
        ValueError: A line is not a score.
    """
    start = 0
    with Path(path).open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield start, Score.from_dict(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"line {number} of {str(path)!r} is not a score") from error
            start += len(line)


def _read_parquet(path: Path) -> Iterator[Score]:
    pa = import_pyarrow()
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as table:
            for batch in table.iter_batches(_PARQUET_ROWS):
                yield from (Score.from_dict(row) for row in batch.to_pylist())
    except (pa.ArrowInvalid, KeyError, TypeError) as error:
        raise ValueError(f"{str(path)!r} is not a Parquet file of scores: {error}") from error


def import_pyarrow() -> ModuleType:
    """The package pyarrow; raises `ImportError` that says how to install it."""
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow: pip install 'iq-client[parquet]'") from error
    return pyarrow  # type: ignore[no-any-return]
