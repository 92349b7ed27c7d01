"""`iq-client rank --reasons`: low marks with their reasons, wherever results go."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.client.cli.conftest import Run


def test_rows_below_the_middle_have_reasons_where_asked(run: Run, blurred: Path) -> None:
    rows = json.loads(run("rank", blurred, "--reasons", "--format", "json").stdout)
    assert [row["reasons"] for row in rows] == [None, None, ["blurry"], ["blurry"]]
    assert len({row["mean"] for row in rows}) == 4
    best = json.loads(run("rank", blurred, "--reasons", "--top", 3, "--format", "json").stdout)
    assert best == rows[:3]  # low is low among all of them
    rows = json.loads(run("rank", blurred, "--format", "json").stdout)
    assert [row["reasons"] for row in rows] == [None] * 4  # a second reading is not a default


def test_groups_say_why_too(run: Run, blurred: Path) -> None:
    rows = json.loads(run("groups", blurred, "--reasons", "--format", "json").stdout)
    rows.sort(key=lambda row: -row["mean"])
    assert [row["reasons"] for row in rows] == [None, None, ["blurry"], ["blurry"]]
    assert " why " in run("groups", blurred).stdout
    assert " why " not in run("groups", blurred, "--no-reasons").stdout


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
