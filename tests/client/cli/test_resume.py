"""Scores of an earlier run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.client.cli.conftest import Run

from iq_client.formats import read_scores


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_resume_scores_only_what_is_new(
    run: Run, photos: Path, tmp_path: Path, ending: str
) -> None:
    kept = tmp_path / f"kept.{ending}"
    some = [photos / "01.jpg", photos / "04.jpg"]
    run("score", *some, "gone.jpg", "--resume", kept, code=1)
    assert [score.source for score in read_scores(kept)] == [str(path) for path in some]
    whole = run("score", photos, "--format", "json").stdout
    # What is kept is taken as it is, even where the file would now be scored otherwise.
    (photos / "01.jpg").write_bytes(b"changed")
    again = run("score", photos, "--resume", kept, "--format", "json").stdout
    assert json.loads(again) == json.loads(whole)
    assert len(list(read_scores(kept))) == 12
    unchanged = kept.stat().st_size
    run("rank", photos, "--resume", kept)
    assert len(list(read_scores(kept))) == 12
    assert kept.stat().st_size == unchanged


def test_resume_after_a_line_was_cut_off(run: Run, photos: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    run("score", photos, "--resume", kept)
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-20])
    run("score", photos, "--resume", kept)
    assert kept.read_bytes() == whole


def test_resume_in_the_middle_keeps_the_order(run: Run, photos: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    run("score", photos / "04.jpg", photos / "deeper", "--resume", kept)
    rows = json.loads(
        run("score", photos, "--resume", kept, "--batch-size", 2, "--format", "json").stdout
    )
    plain = json.loads(run("score", photos, "--format", "json").stdout)
    assert rows == plain
