"""`--summary`: every photo and file accounted for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.client.cli.conftest import Run


@pytest.mark.parametrize("command", ["rank", "score", "groups"])
def test_what_was_scored_failed_and_left_out_adds_up(run: Run, photos: Path, command: str) -> None:
    (photos / "broken.jpg").write_bytes(b"corrupt")
    (photos / "film.mp4").write_bytes(b"")
    (photos / "@eaDir").mkdir()
    summary = photos.parent / "summary.json"
    rows = json.loads(
        run(command, photos, "gone.jpg", "--summary", summary, "--format", "json", code=1).stdout
    )
    counts = json.loads(summary.read_text())
    assert counts == {
        "photos": 14,
        "scored": 12,
        "errors": {"NOT_FOUND": 1, "UNREADABLE": 1},
        "left_out": {"other file": 1, "system folder": 1, "video": 1},
        "interrupted": False,
    }
    assert len(rows) == counts["photos"]


def test_an_empty_folder_has_a_summary_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    summary = tmp_path / "summary.json"
    run("rank", tmp_path / "folder", "--summary", summary)
    assert json.loads(summary.read_text())["photos"] == 0
