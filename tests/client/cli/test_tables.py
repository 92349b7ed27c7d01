"""Results for people."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from tests.client.cli.conftest import HOSTILE, Run


def test_hostile_names_do_not_reach_the_terminal(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in HOSTILE:
        (folder / name).write_bytes(b"photo")
    table = run("rank", folder).stdout
    assert len(table.splitlines()) == 2 + len(HOSTILE)
    assert "\x1b" not in table
    assert "\u202e" not in table
    assert "[bold]no markup[red].jpg" in table
    run("rank", folder, "-o", tmp_path / "out.csv", "--html", tmp_path / "out.html")
    table = (tmp_path / "out.csv").read_text()
    sources = {row["source"] for row in csv.DictReader(io.StringIO(table, newline=""))}
    assert str(folder / "line\nbreak.jpg") in sources
    run("rank", folder, "--top", len(HOSTILE), "--copy-best", tmp_path / "best")
    assert len(list((tmp_path / "best").iterdir())) == len(HOSTILE)
