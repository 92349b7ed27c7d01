"""Marks as JSON and CSV."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iq_client.gallery.marks import (
    Flag,
    Mark,
    as_rating,
    parse_marks,
    read_marks,
    read_pairs,
    write_marks,
    write_pairs,
)

MARKS = [
    Mark("a.jpg", "pick", 5),
    Mark('in "two", lines\n.jpg', "reject", 0),
    Mark("latin-\udce9.jpg", None, 3),
]


def test_csv_gives_back_what_was_written(tmp_path: Path) -> None:
    write_marks(tmp_path / "picks.csv", MARKS)
    assert read_marks(tmp_path / "picks.csv") == MARKS
    assert b"latin-\xe9.jpg" in (tmp_path / "picks.csv").read_bytes()
    write_marks(tmp_path / "picks.csv", MARKS[:1])
    assert read_marks(tmp_path / "picks.csv") == MARKS[:1]
    assert [file.name for file in tmp_path.iterdir()] == ["picks.csv"]


def test_a_link_to_the_file_stays_one(tmp_path: Path) -> None:
    (tmp_path / "picks.csv").symlink_to(tmp_path / "elsewhere.csv")
    write_marks(tmp_path / "picks.csv", MARKS)
    assert (tmp_path / "picks.csv").is_symlink()
    assert read_marks(tmp_path / "elsewhere.csv") == MARKS


def test_json_of_a_page() -> None:
    photos = [{"path": mark.path, "flag": mark.flag, "stars": mark.stars} for mark in MARKS]
    assert parse_marks(json.dumps({"picks": 1, "photos": photos, "pairs": []})) == MARKS


@pytest.mark.parametrize(
    ("before", "after", "written"),
    [
        (None, ("pick", 0), (None, "Green")),
        (None, ("reject", 4), (-1, "Red")),
        (None, (None, 3), (3, None)),
        (("pick", 3), ("reject", 3), (-1, "Red")),
        (("reject", 3), (None, 3), (3, "")),  # its stars show again
        (("reject", 0), (None, 0), (0, "")),
        (("pick", 3), (None, 0), (0, "")),
    ],
)
def test_what_a_change_of_marks_writes(
    before: tuple[Flag | None, int] | None,
    after: tuple[Flag | None, int],
    written: tuple[int | None, str | None],
) -> None:
    earlier = Mark("a.jpg", *before) if before else None
    rating = as_rating(Mark("a.jpg", *after), earlier)
    assert (rating.stars, rating.label) == written


def test_pairs_are_given_back(tmp_path: Path) -> None:
    pairs = [("a.jpg", "b,c.jpg"), ("latin-\udce9.jpg", "a.jpg")]
    write_pairs(tmp_path / "pairs.csv", pairs)
    assert (tmp_path / "pairs.csv").read_bytes().startswith(b"winner,loser\r\n")
    assert read_pairs(tmp_path / "pairs.csv") == pairs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column"),
        ("path,flag\na.jpg,pick\n", "no column stars"),
        ("{", "not whole as JSON"),
        ('{"photos": []}', '"picks"'),
        ('{"picks": 2, "photos": []}', '"picks"'),
        ('{"picks": 1, "photos": [3]}', "photo 1 names no photo"),
        ('{"picks": 1, "photos": [{"path": "a", "flag": "keep"}]}', "'keep'"),
        ("path,flag,stars\na.jpg,,6\n", "the stars are 6"),
        ("path,flag,stars\na.jpg,,-1\n", "the stars are -1"),
        ("path,flag,stars\na.jpg,,1.5\n", "the stars are 1.5"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_marks(text)
