"""Reads the files of labels. A bad row becomes a `Problem`; the others are kept."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from iq_serving.contract import PHOTO_SUFFIXES, VOTE_BINS, VOTES
from siamese_nima.data.samples import FORMS, DataConfig, Problem, Sample
from siamese_nima.distribution import mean_opinion_score, standard_deviation
from siamese_nima.errors import ConfigError, DataError

Row = tuple[str, dict[str, Any]]

# Headers of the ten counts in a table, and of the ten shares in one of `siamese-nima predict`.
COUNT_COLUMNS: Final = tuple(f"votes_{vote:.0f}" for vote in VOTES)
SHARE_COLUMNS: Final = tuple(f"p{vote:.0f}" for vote in VOTES)
_PAIR_COLUMNS: Final = ("winner", "loser")
_YES: Final = frozenset({"1", "true", "yes"})
_NO: Final = frozenset({"", "0", "false", "no"})
_DECLARED_SEPARATOR: Final = re.compile(r'"?sep=(.)"?')  # a line that Excel writes and reads
_DECIMAL_COMMA: Final = re.compile(r"[+-]?\d*,\d+")
_EMPTY_CELLS: Final = ' \t\r\n,;"'
_BLANKS: Final = re.compile(r"[ \t]+")
_LONGEST_NAME: Final = 255  # bytes, on every usual file system
# A long text in a column that nobody asks for is no reason to stop. The limit is the process's.
csv.field_size_limit(2**31 - 1)
_LABEL_COLUMNS: Final = {"labels": "label", "scores": "mean"}


def read_samples(config: DataConfig) -> tuple[list[Sample], list[Problem]]:
    """Reads a file of labels.

    Args:
        config: Any form of a file but `pairs`.

    Returns:
        The samples, repeated rows once, in the file's order; and what was wrong with the others.

    Raises:
        ConfigError: The form is unknown, or no file is given.
        DataError: The file cannot be read, or lacks a column.
    """
    if config.form not in FORMS:
        raise ConfigError(f"form is {config.form!r}, not one of {', '.join(FORMS)}")
    if config.file is None:
        raise ConfigError(f"a set of the form {config.form} needs a file")
    parse = {"labels": _label, "scores": _mean, "histograms": _histogram, "ava": _histogram}
    problems: list[Problem] = []
    samples: dict[Path, Sample] = {}
    conflicting: set[Path] = set()
    for where, row in _rows(config, config.file):
        try:
            sample = parse[config.form](row, config)
        except _RowError as error:
            problems.append(Problem(error.code, where, error.text))
            continue
        before = samples.setdefault(sample.path, sample)
        if before is not sample:
            if before == sample:
                problems.append(Problem("DUPLICATE", where, f"{sample.path.name} again"))
            else:
                conflicting.add(sample.path)
                problems.append(
                    Problem("CONFLICT", where, f"{sample.path.name} again with another label")
                )
    return [s for path, s in samples.items() if path not in conflicting], problems


def read_pairs(config: DataConfig) -> tuple[list[Sample], list[Problem]]:
    """Reads single judgements: `winner`, `loser` and, if wanted, `weight` and `tie`.

    Args:
        config: Of the form `pairs`.

    Returns:
        Two samples a judgement, in the file's order, alone together in their group: 1 for the
        winner and 0 for the loser, or 0 for both of a tie; and what was wrong with other rows.

    Raises:
        ConfigError: No file is given.
        DataError: The file cannot be read, or lacks a column.
    """
    if config.file is None:
        raise ConfigError("a set of the form pairs needs a file")
    problems: list[Problem] = []
    samples: list[Sample] = []
    for where, row in _rows(config, config.file):
        try:
            winner, loser = (_named(row.get(side), side, config) for side in _PAIR_COLUMNS)
            if winner == loser:
                raise _RowError("MALFORMED", f"{winner.name} is compared with itself")
            weight = _number(row.get("weight") or 1.0, "weight")
            if weight <= 0:
                raise _RowError("OUT_OF_RANGE", f"weight is {weight}, not above 0")
            better = 0.0 if _is_tie(row.get("tie") or "") else 1.0
        except _RowError as error:
            problems.append(Problem(error.code, where, error.text))
            continue
        samples += [
            Sample(path, score, group=where, weight=weight)
            for path, score in ((winner, better), (loser, 0.0))
        ]
    return samples, problems


def _is_tie(value: str) -> bool:
    if value.strip().lower() not in _YES | _NO:
        raise _RowError("MALFORMED", f"tie is {value!r}, not 1 or 0")
    return value.strip().lower() in _YES


def read_names(config: DataConfig) -> list[Path]:
    """Reads the file names alone, for photos without labels.

    Raises:
        ConfigError: No file is given.
        DataError: The file cannot be read, or lacks the column or a name in it.
    """
    if config.file is None:
        raise ConfigError("a file of names is needed")
    names = []
    for where, row in _rows(config, config.file, labels=False):
        try:
            names.append(_path(row, config))
        except _RowError as error:
            raise DataError(f"{where} of {config.file}: {error.text}") from None
    return names


class _RowError(Exception):
    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def _rows(config: DataConfig, file: Path, *, labels: bool = True) -> Iterator[Row]:
    """Rows by column name, each with where it stands."""
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file}: {error}") from error
    if config.form == "ava" and labels:
        yield from _ava_rows(text, config)
    elif file.suffix.lower() == ".json":
        yield from _json_rows(text, file, config)
    else:
        yield from _table_rows(text, file, config, labels=labels)


def _ava_rows(text: str, config: DataConfig) -> Iterator[Row]:
    for number, line in enumerate(_lines(text), 1):
        if parts := line.split():
            yield (
                f"line {number}",
                {config.file_column: parts[1] if len(parts) > 1 else "", "counts": parts[2:12]},
            )


def _lines(text: str) -> list[str]:
    """Lines with their ends; `str.splitlines` takes U+2028 and form feeds in a cell for ends."""
    return list(io.StringIO(text, newline=""))


def _json_rows(text: str, file: Path, config: DataConfig) -> Iterator[Row]:
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise DataError(f"{file} is not JSON: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f'{file} is not a list of {{"image_id": …, "label": [ten counts]}}')
    for index, entry in enumerate(entries):
        name = entry.get("image_id", entry.get(config.file_column, ""))
        value = entry.get(config.label_column or "label")
        row = {config.file_column: str(name), "counts": value, _label_column(config): value}
        yield f"entry {index}", row


def _table_rows(text: str, file: Path, config: DataConfig, *, labels: bool) -> Iterator[Row]:
    lines = _lines(text)
    separator, skipped = config.separator, 0
    for line in lines:
        declared = _DECLARED_SEPARATOR.fullmatch(line.strip())
        if declared is None and line.strip(_EMPTY_CELLS):
            break
        separator = separator or (declared[1] if declared else "")
        skipped += 1
    else:
        raise DataError(f"{file} is empty: its first line names the columns")
    separator = separator or _separator(lines[skipped])
    table = _cells(lines[skipped:], separator)
    _, header = next(table)
    header = [name.strip() for name in header]
    counts = SHARE_COLUMNS if set(SHARE_COLUMNS) <= set(header) else COUNT_COLUMNS
    wanted = [config.file_column]
    if labels and config.form == "pairs":
        wanted = list(_PAIR_COLUMNS)
    elif labels and config.form == "histograms":
        wanted += counts
    elif labels:
        wanted += [_label_column(config), *filter(None, [config.std_column])]
    if missing := [name for name in wanted if name not in header]:
        raise DataError(
            f"{file} has no column {missing[0]!r}; there are {', '.join(header)}. "
            "Name the columns with file_column, label_column and std_column."
        )
    for number, cells in table:
        if not any(cells):
            continue
        row: dict[str, Any] = dict(zip(header, cells, strict=False))
        row["counts"] = [row.get(name) for name in counts]
        yield f"line {skipped + number}", row


def _cells(lines: list[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row, with the number of its last line."""
    if separator == " ":
        for number, line in enumerate(lines, 1):
            yield number, _BLANKS.split(line.strip(" \t\r\n"))
        return
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    for cells in reader:
        yield reader.line_num, cells


def _separator(header: str) -> str:
    """The first separator that the header has; blanks if none."""
    return next((each for each in (",", "\t", ";") if each in header), " ")


def _label_column(config: DataConfig) -> str:
    return config.label_column or _LABEL_COLUMNS.get(config.form, "label")


def _path(row: dict[str, Any], config: DataConfig) -> Path:
    return _named(row.get(config.file_column), config.file_column, config)


def _named(name: str | None, column: str, config: DataConfig) -> Path:
    """The file that a cell names."""
    if not name:
        raise _RowError("MALFORMED", f"no {column}")
    if "\0" in name or any(len(part) > _LONGEST_NAME for part in _bytes(name, column).split(b"/")):
        raise _RowError("MALFORMED", f"{column} is {name[:40]!r}…, which no file can be called")
    path = config.images / name
    if not name.isascii() and not path.exists():
        # Disks and tables made on a Mac often hold accents as characters of their own.
        spellings = (config.images / unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
        path = next((each for each in spellings if each.exists()), path)
    longer = path.with_name(path.name + config.suffix)
    if not path.suffix:
        return longer
    if path.suffix.lower() in PHOTO_SUFFIXES:
        return path
    # `IMG_1.CR2` of a photo that was exported as `IMG_1.CR2.jpg`, or a dot in a date.
    return longer if longer.is_file() and not path.is_file() else path


def _bytes(name: str, column: str) -> bytes:
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:
        raise _RowError("MALFORMED", f"{column} is {name[:40]!r}, not valid Unicode") from None


def _number(value: Any, what: str) -> float:
    if isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value.strip()):
        value = value.replace(",", ".")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise _RowError("MALFORMED", f"{what} is {value!r}, not a number") from None
    if not math.isfinite(number):
        raise _RowError("OUT_OF_RANGE", f"{what} is {number}")
    return number


def _label(row: dict[str, Any], config: DataConfig) -> Sample:
    column = _label_column(config)
    label = _number(row.get(column), column)
    if not label.is_integer():
        raise _RowError("MALFORMED", f"{column} is {label}, not an integer; use the form scores")
    return Sample(_path(row, config), label)


def _mean(row: dict[str, Any], config: DataConfig) -> Sample:
    column = _label_column(config)
    mean, std = _number(row.get(column), column), None
    if not config.lowest <= mean <= config.highest:
        raise _RowError(
            "OUT_OF_RANGE", f"{column} is {mean}, not in {config.lowest}…{config.highest}"
        )
    stretch = (VOTES[-1] - VOTES[0]) / (config.highest - config.lowest)
    if config.std_column:
        std = _number(row.get(config.std_column), config.std_column) * stretch
        if std < 0:
            raise _RowError("OUT_OF_RANGE", f"{config.std_column} is below 0")
    elif config.std:
        std = config.std
    score = VOTES[0] + (mean - config.lowest) * stretch
    return Sample(_path(row, config), score, std=std, error=_error(std, config.raters))


def _histogram(row: dict[str, Any], config: DataConfig) -> Sample:
    counts = row.get("counts")
    if not isinstance(counts, list) or len(counts) != VOTE_BINS:
        raise _RowError("MALFORMED", f"{counts!r} is not {VOTE_BINS} counts")
    if any(isinstance(count, str) and "," in count for count in counts):
        raise _RowError("MALFORMED", f"{counts!r}: a comma in a count may mean thousands or tenths")
    votes = np.array([_number(count, "a count") for count in counts])
    if votes.min() < 0 or votes.sum() <= 0:
        raise _RowError("OUT_OF_RANGE", "counts below 0, or no vote at all")
    shares = votes / votes.sum()
    std = float(standard_deviation(shares))
    # Shares do not say how many voted.
    raters = votes.sum() if votes.sum() > 1.5 else config.raters
    return Sample(
        _path(row, config),
        float(mean_opinion_score(shares)),
        tuple(shares.tolist()),
        std,
        error=_error(std, raters),
    )


def _error(std: float | None, raters: float) -> float:
    """Standard error of a mean of votes, 0 where it is not known."""
    return std / math.sqrt(raters) if std and raters else 0.0
