"""Picks, rejects and stars: what a person decided about photos, as files of the gallery's pages."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast, get_args

from iq_client.files import write_file
from iq_client.metadata.xmp import PICK_LABEL, REJECT_LABEL, REJECTED, Rating

Flag: TypeAlias = Literal["pick", "reject"]

MAX_STARS: Final = 5
_VERSION: Final = 1  # of the JSON form
_COLUMNS: Final = ("path", "flag", "stars")


@dataclass(frozen=True, slots=True)
class Mark:
    """A person's decision about one photo.

    Attributes:
        path: The photo, as it was named when it was scored.
        flag: Picked or rejected; None for neither.
        stars: 0…5, 0 for none.
    """

    path: str
    flag: Flag | None
    stars: int


_LABELS: Final = {"pick": PICK_LABEL, "reject": REJECT_LABEL, None: ""}


def as_rating(mark: Mark, before: Mark | None = None) -> Rating:
    """A mark as photo programs have it.

    Args:
        mark: A decision.
        before: The one that it takes the place of; None where there was none.

    Returns:
        Stars, or -1 for a reject; a green label for a pick and a red one for a reject. What was
        marked neither before nor now stays as other programs wrote it.
    """
    before = before or Mark(mark.path, None, 0)
    rejects = "reject" in (mark.flag, before.flag)
    stars = REJECTED if mark.flag == "reject" else mark.stars
    return Rating(
        stars=stars if mark.stars or before.stars or rejects else None,
        label=_LABELS[mark.flag] if mark.flag or before.flag else None,
    )


def parse_marks(text: str) -> list[Mark]:
    """Reads the marks that a page exports.

    Args:
        text: JSON, `{"picks": 1, "photos": [{"path": "a.jpg", "flag": "pick", "stars": 3}]}`, or
            CSV with the columns `path`, `flag` and `stars`. Other keys and columns are passed over.

    Raises:
        ValueError: It is neither, or a value is out of its range.
    """
    if text.lstrip().startswith("{"):
        return _from_json(text)
    return _from_csv(text)


def read_marks(path: Path) -> list[Mark]:
    """Reads a file of marks.

    Raises:
        OSError: The file cannot be read.
        ValueError: It holds no marks.
    """
    # Newlines inside quoted names are kept; names that are not Unicode come back as they were.
    return parse_marks(path.read_bytes().decode("utf-8-sig", "surrogateescape"))


def write_marks(path: Path, marks: Iterable[Mark]) -> None:
    """Writes marks as CSV; the file is complete at every moment, also where the process is killed.

    Raises:
        OSError: The file cannot be written.
    """
    rows = [(mark.path, mark.flag or "", mark.stars) for mark in marks]
    write_file(path, _csv([_COLUMNS, *rows]))


def write_pairs(path: Path, pairs: Iterable[tuple[str, str]]) -> None:
    """Writes judged pairs as CSV with the header `winner,loser`, as complete as `write_marks`.

    Raises:
        OSError: The file cannot be written.
    """
    write_file(path, _csv([("winner", "loser"), *pairs]))


def read_pairs(path: Path) -> list[tuple[str, str]]:
    """Reads what `write_pairs` wrote.

    Raises:
        OSError: The file cannot be read.
        ValueError: A column is missing.
    """
    text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        return [(row["winner"], row["loser"]) for row in rows]
    except KeyError as error:
        raise ValueError(f"{path} lacks the column {error.args[0]}") from error


def _from_json(text: str) -> list[Mark]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ValueError(f"not whole as JSON: {error}") from error
    if document.get("picks") != _VERSION or not isinstance(document.get("photos"), list):
        raise ValueError(f'no export of a gallery: the key "picks" is not {_VERSION}')
    return [_mark(photo, f"photo {number}") for number, photo in enumerate(document["photos"], 1)]


def _from_csv(text: str) -> list[Mark]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    missing = set(_COLUMNS) - set(rows.fieldnames or ())
    if missing:
        raise ValueError(
            f"neither JSON of a gallery nor CSV: no column {', '.join(sorted(missing))}"
        )
    return [_mark(row, f"line {rows.line_num}") for row in rows]


def _mark(values: Any, where: str) -> Mark:
    path = values.get("path") if isinstance(values, dict) else None
    if not isinstance(path, str) or not path:
        raise ValueError(f"{where} names no photo")
    flag = values.get("flag") or None
    if flag is not None and flag not in get_args(Flag):
        raise ValueError(f"{where}: the flag is {flag!r}, not pick or reject")
    stars = str(values.get("stars") or 0)
    if not (stars.isascii() and stars.isdigit() and int(stars) <= MAX_STARS):
        raise ValueError(f"{where}: the stars are {stars}, not 0 to {MAX_STARS}")
    return Mark(path, cast("Flag | None", flag), int(stars))


def _csv(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")
