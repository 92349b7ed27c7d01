"""Results for people."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from tests.client.cli.conftest import HOSTILE, Run
from tests.client.faulty import FaultyServer, description

from iq_client.cli import tables
from iq_client.results import ImageError, Score


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


def test_percentiles_stand_beside_the_mean_where_there_are_any(
    run: Run, faulty: FaultyServer, photos: Path
) -> None:
    command = ("rank", photos, "--url", faulty.url)
    assert "beats" not in run(*command).stdout
    faulty.tower = description(quantiles=[1.0, 9.0], quantiles_of="photos of a test")
    head, _, *rows = run(*command).stdout.splitlines()
    assert "beats" in head
    # The bytes' length, 7 or 8, says the mean: 8 or 1, and how many of 1…9 are below it.
    assert {(row.split()[1], row.split()[3]) for row in rows} == {("8.00", "88"), ("1.00", "0")}
    assert all(len(row) - len(row.split()[-1]) <= 45 for row in rows)


def test_a_long_name_takes_one_line_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    terminal = Console(file=out, width=60, force_terminal=True, color_system=None)
    monkeypatch.setattr(tables, "console", lambda: terminal)
    names = [f"{'x' * 117}_{number:04}.jpg" for number in (1, 2)]
    failed = Score.failed(names[1], ImageError("EMPTY", "no bytes"))
    tables.print_scores([Score(names[0], 5.0, 1.0, (0.1,) * 10), failed])
    rows = [line for line in out.getvalue().splitlines() if "xxx" in line]
    assert [row.rstrip()[-8:] for row in rows] == ["0001.jpg", "0002.jpg"]
    assert all("…" in row and len(row) <= 60 for row in rows)


@pytest.mark.parametrize("text", ["x" * 40, "写" * 40])
@pytest.mark.parametrize("width", [1, 2, 9, 30])
def test_a_shortened_text_has_the_width(text: str, width: int) -> None:
    assert cell_len(tables.shortened(text, width)) == width
