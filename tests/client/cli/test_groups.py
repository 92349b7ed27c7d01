"""`iq-client groups`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from tests.client.cli.conftest import Run
from tests.client.shots import wedding


def test_groups(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name in "ab":
        blocks = Image.fromarray(random.integers(0, 256, (5, 8, 3), np.uint8))
        image = blocks.resize((320, 200), Image.Resampling.BICUBIC)
        image.save(folder / f"{name}1.jpg", quality=95)
        image.save(folder / f"{name}2.jpg", quality=60)
    out = tmp_path / "best"
    rows = json.loads(run("groups", folder, "--copy-best", out, "--format", "json").stdout)
    together: dict[int, list[str]] = {}
    for row in rows:
        together.setdefault(row["group"], []).append(Path(row["source"]).name)
    assert sorted(sorted(names) for names in together.values()) == [
        ["a1.jpg", "a2.jpg"],
        ["b1.jpg", "b2.jpg"],
    ]
    assert [row["rank"] for row in rows] == [1, 2, 1, 2]
    assert rows[0]["mean"] == max(row["mean"] for row in rows)
    assert len(list(out.iterdir())) == 2
    lines = run("groups", folder, "--html", tmp_path / "out.html").stdout.splitlines()
    assert lines[0].split()[0] == "group"
    assert len(lines) == 6


def test_top_keeps_the_best_of_each_group_and_whole_sets(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    wedding(folder)
    out = tmp_path / "best"
    result = run("groups", folder, "--top", 2, "--copy-best", out, "--format", "json")
    rows = json.loads(result.stdout)
    kept = {Path(row["source"]).name: row for row in rows}
    assert {row["members"] for name, row in kept.items() if name.startswith("burst")} == {4}
    assert sum(name.startswith("burst") for name in kept) == 2
    assert {name: kept[name]["kind"] for name in kept if not name.startswith("burst")} == {
        "alone.jpg": None,
        **dict.fromkeys(("bracket0.jpg", "bracket1.jpg", "bracket2.jpg"), "bracket"),
    }
    assert len(list(out.iterdir())) == 6
    assert "left out by --top: 2 photos of 1 groups; kept whole: 1 x bracket" in result.stderr
    everything = json.loads(run("groups", folder, "--format", "json").stdout)
    assert len(everything) == 8
    table = run("groups", folder, "--top", 1).stdout
    assert "best of 4" in table and "bracket of 3" in table
    split = json.loads(run("groups", folder, "--no-sets", "--top", 1, "--format", "json").stdout)
    assert len(split) == 3
