"""Copies of, or links to, the best photos."""

from __future__ import annotations

import json
from pathlib import Path

from tests.client.cli.conftest import Run


def test_copy_best(run: Run, photos: Path, tmp_path: Path) -> None:
    best = tmp_path / "best"
    rows = json.loads(
        run("rank", photos, "--top", 10, "--copy-best", best, "--format", "json").stdout
    )
    for row in rows:
        copy = best / f"{row['rank']:02}_{Path(row['source']).name}"
        assert not copy.is_symlink()
        assert copy.read_bytes() == Path(row["source"]).read_bytes()
    assert len(list(best.iterdir())) == 10


def test_link_best(run: Run, photos: Path, tmp_path: Path) -> None:
    best = tmp_path / "best"
    run("rank", photos, "--top", 2, "--copy-best", best, "--link")
    assert all(link.is_symlink() and link.resolve().is_file() for link in best.iterdir())
