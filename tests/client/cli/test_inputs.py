"""The images that a command line names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.client.cli.conftest import HOSTILE, Run


def test_globs(run: Run, photos: Path) -> None:
    rows = json.loads(run("score", photos / "0[1-5].jpg", "--format", "json").stdout)
    assert [Path(row["source"]).name for row in rows] == ["01.jpg", "02.jpg", "04.jpg", "05.jpg"]


def test_paths_on_stdin(run: Run, photos: Path) -> None:
    lines = f"{photos / '01.jpg'}\n\n{photos / 'deeper'}\n{photos / '02.jpg'}"
    rows = json.loads(run("score", "-", "--format", "json", stdin=lines).stdout)
    names = [Path(row["source"]).name for row in rows]
    assert names == ["01.jpg", "00.jpg", "03.jpg", "06.jpg", "09.jpg", "02.jpg"]


@pytest.mark.parametrize("dash", [["-"], []])
def test_paths_that_end_with_nul(run: Run, tmp_path: Path, dash: list[str]) -> None:
    names = [tmp_path / name for name in HOSTILE]
    for name in names:
        name.write_bytes(b"photo")
    stdin = b"".join(os.fsencode(name) + b"\0" for name in names)
    rows = json.loads(run("score", *dash, "-0", "--format", "json", stdin=stdin).stdout)
    assert [row["source"] for row in rows] == [str(name) for name in names]


def test_no_path_is_wrong_usage(run: Run) -> None:
    assert "PATH" in run("rank", code=2).stderr
