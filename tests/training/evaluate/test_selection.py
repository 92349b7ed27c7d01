"""Photos chosen by a list of names."""

from __future__ import annotations

from pathlib import Path

import pytest

from siamese_nima.data import Sample
from siamese_nima.errors import DataError
from siamese_nima.evaluate.selection import select

IMAGES = Path("photos")
SAMPLES = [Sample(IMAGES / name, 0.0, kind=kind) for name in "abc" for kind in ("", "blur")]


@pytest.mark.parametrize(
    "line", ["photos/b", "b", "./photos/../photos/b", str(Path.cwd() / "photos" / "b")]
)
def test_names_are_paths_from_here_or_from_the_folder(tmp_path: Path, line: str) -> None:
    names = tmp_path / "names.txt"
    names.write_text(f"{line}\n\n")
    assert select(SAMPLES, names, IMAGES) == SAMPLES[2:4]


def test_the_order_is_that_of_the_photos(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("c\na\na\n")
    assert select(SAMPLES, tmp_path / "names.txt", IMAGES) == SAMPLES[:2] + SAMPLES[4:]


@pytest.mark.parametrize(
    ("text", "message"),
    [("a\nz\ny\n", r"names z, which .*photos \(nor are 1 others\)"), ("\n", "names no photo")],
)
def test_names_that_are_not_there(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        select(SAMPLES, tmp_path / "names.txt", IMAGES)


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*names\.txt"):
        select(SAMPLES, tmp_path / "names.txt", IMAGES)
