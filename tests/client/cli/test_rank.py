"""`iq-client rank`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.client.cli.conftest import Run
from tests.client.conftest import Mean


def expected(photos: Path, stub_mean: Mean) -> dict[str, float]:
    return {str(path): stub_mean(path.read_bytes()) for path in photos.rglob("*.jpg")}


def test_rank_as_json(run: Run, photos: Path, stub_mean: Mean) -> None:
    rows = json.loads(run("rank", photos, "--format", "json").stdout)
    assert [row["rank"] for row in rows] == list(range(1, 13))
    means = expected(photos, stub_mean)
    best_first = sorted(means, key=means.__getitem__, reverse=True)
    assert [row["source"] for row in rows] == best_first
    assert rows[0]["mean"] == pytest.approx(means[best_first[0]], abs=1e-4)


def test_rank_as_a_table(run: Run, photos: Path, stub_mean: Mean) -> None:
    (photos / "broken.jpg").write_bytes(b"corrupt")
    lines = run("rank", photos, "--top", 3, code=1).stdout.splitlines()
    assert re.split(r"\s{2,}", lines[0].strip()) == ["#", "mean", "± std", "votes 1-10", "photo"]
    means = expected(photos, stub_mean)
    del means[str(photos / "broken.jpg")]
    for rank, (line, source) in enumerate(
        zip(lines[2:5], sorted(means, key=means.__getitem__, reverse=True)[:3], strict=True),
        start=1,
    ):
        number, mean, _, bars, path = line.split()
        assert (number, path) == (str(rank), source)
        assert float(mean) == pytest.approx(means[source], abs=0.006)
        assert len(bars) == 10
        assert set(bars) <= set("▁▂▃▄▅▆▇█")
    assert lines[-1].split()[0] == "UNREADABLE"
    assert lines[-1].endswith("broken.jpg")
    assert all(line == line.rstrip() for line in lines)


def test_top_and_min_score_keep_what_failed_in_sight(
    run: Run, photos: Path, stub_mean: Mean
) -> None:
    means = sorted(expected(photos, stub_mean).values(), reverse=True)
    cut = (means[4] + means[5]) / 2
    rows = json.loads(
        run("rank", photos, "gone.jpg", "--min-score", cut, "--format", "json", code=1).stdout
    )
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5, None]
    rows = json.loads(
        run("rank", photos, "--min-score", cut, "--top", 2, "--format", "json").stdout
    )
    assert [row["rank"] for row in rows] == [1, 2]
    rows = json.loads(run("score", photos, "--min-score", cut, "--format", "json").stdout)
    assert len(rows) == 5


@pytest.mark.parametrize("cut", [("--top", 0), ("--min-score", 11)])
def test_what_leaves_no_photo_is_said(run: Run, photos: Path, cut: tuple[str, object]) -> None:
    assert "none of 12 photos is left" in run("rank", photos, *cut).stderr


def test_rank_by_the_lower_bound(run: Run, photos: Path) -> None:
    rows = json.loads(run("rank", photos, "--by", "lower_bound", "--format", "json").stdout)
    bounds = [row["mean"] - row["std"] for row in rows]
    assert bounds == sorted(bounds, reverse=True)
