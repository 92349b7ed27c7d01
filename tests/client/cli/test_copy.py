"""Copies of, or links to, the best photos."""

from __future__ import annotations

import json
from pathlib import Path

from tests.client.cli.conftest import Run
from tests.client.conftest import full_disk


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


def test_the_longest_name_among_others(run: Run, photos: Path, tmp_path: Path) -> None:
    name = "n" * 251 + ".jpg"
    (photos / name).write_bytes(b"photo with a long name")
    best = tmp_path / "best"
    run("rank", photos, "--top", 20, "--copy-best", best)
    copies = {path.read_bytes() for path in best.iterdir()}
    assert len(copies) == 13
    assert (photos / name).read_bytes() in copies
    assert all(path.suffix == ".jpg" for path in best.iterdir())


def test_a_full_disk_leaves_no_half_of_a_photo(run: Run, photos: Path, tmp_path: Path) -> None:
    best = tmp_path / "best"
    large = photos / "large.jpg"
    large.write_bytes(bytes(100_000))
    with full_disk(1000):
        failed = run("rank", photos, "--top", 20, "--copy-best", best, code=1)
    assert "--copy-best" in failed.stderr
    assert all(path.stat().st_size < 1000 for path in best.iterdir())
