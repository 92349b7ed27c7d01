"""`iq-client score`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.client.cli.conftest import Run


def test_score_keeps_the_order_given(run: Run, photos: Path) -> None:
    given = [photos / "02.jpg", photos / "01.jpg", "gone.jpg", photos / "04.jpg"]
    rows = json.loads(run("score", *given, "--format", "json", code=1).stdout)
    assert [row["source"] for row in rows] == [str(path) for path in given]
    assert [row["error"] and row["error"]["code"] for row in rows] == [
        None,
        None,
        "NOT_FOUND",
        None,
    ]


def test_no_photos_is_no_failure(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run("score", tmp_path / "empty", "--format", "json")
    assert json.loads(result.stdout) == []
    assert "no photos found" in result.stderr


def test_a_mean_that_none_reaches_is_told(run: Run, photos: Path) -> None:
    result = run("score", photos, "--min-score", 11)
    assert "none of 12 photos is left by --min-score\n" in result.stderr
    assert not result.stdout
    assert "none of" not in run("score", photos, "--min-score", 1).stderr
