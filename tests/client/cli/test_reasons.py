"""`iq-client rank --reasons`: low marks with their reasons, wherever results go."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image, ImageFilter
from tests.client.cli.conftest import Run

EXAMPLE = Path(__file__).parents[3] / "examples" / "photos" / "brushes.jpg"


@pytest.fixture
def blurred(tmp_path: Path) -> Path:
    """Four blurred photos, which the stand-in gives different scores, and a broken one."""
    folder = tmp_path / "blurred"
    folder.mkdir()
    photo = Image.open(EXAMPLE).resize((800, 630))
    for sigma in (6, 7, 8, 9):
        photo.filter(ImageFilter.GaussianBlur(sigma)).save(folder / f"{sigma}.jpg", quality=90)
    (folder / "note.txt").write_text("no photo")
    return folder


def test_rows_below_the_middle_have_reasons_where_asked(run: Run, blurred: Path) -> None:
    rows = json.loads(run("rank", blurred, "--reasons", "--format", "json").stdout)
    assert [row["reasons"] for row in rows] == [None, None, ["blurry"], ["blurry"]]
    assert len({row["mean"] for row in rows}) == 4
    best = json.loads(run("rank", blurred, "--reasons", "--top", 3, "--format", "json").stdout)
    assert best == rows[:3]  # low is low among all of them
    rows = json.loads(run("rank", blurred, "--format", "json").stdout)
    assert [row["reasons"] for row in rows] == [None] * 4  # a second reading is not a default


def test_a_table_says_why_by_itself(run: Run, blurred: Path) -> None:
    heading, _, *lines = run("rank", blurred).stdout.splitlines()
    assert re.split(r"\s{2,}", heading.strip())[-2:] == ["why", "photo"]
    assert [line.split()[-2] == "blurry" for line in lines] == [False, False, True, True]
    assert " why " not in run("rank", blurred, "--no-reasons").stdout


def test_the_gallery_has_reasons_and_counts_what_was_left_out(run: Run, blurred: Path) -> None:
    page = blurred.parent / "page.html"
    run("rank", blurred, "--html", page, "--format", "json")
    text = page.read_text()
    assert text.count('"reasons":["blurry"]') == 2
    assert '"left_out":{"other file":1}' in text


def test_photos_of_an_earlier_run_have_reasons_too(run: Run, blurred: Path) -> None:
    kept = blurred.parent / "kept.jsonl"
    command = ("rank", blurred, "--reasons", "--format", "json", "--resume", kept)
    first = json.loads(run(*command).stdout)
    assert first[-1]["reasons"] == ["blurry"]
    assert json.loads(run(*command).stdout) == first
    (blurred / Path(first[-1]["source"]).name).unlink()
    (blurred / "only-the-score.jpg").write_bytes(b"no photo, but the stand-in scores it")
    rows = json.loads(run(*command).stdout)
    assert {row["source"]: row["reasons"] for row in rows}[
        str(blurred / "only-the-score.jpg")
    ] is None
