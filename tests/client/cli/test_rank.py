"""`iq-client rank`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.client.cli.conftest import Run
from tests.client.conftest import Mean
from tests.client.shots import wedding


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


def test_one_per_group(run: Run, tmp_path: Path, stub_mean: Mean) -> None:
    folder, copies = tmp_path / "photos", tmp_path / "best"
    wedding(folder)
    means = expected(folder, stub_mean)
    burst = max((path for path in means if "burst" in path), key=means.__getitem__)
    bracket = sorted((path for path in means if "bracket" in path), key=means.__getitem__)[::-1]
    alone = str(folder / "alone.jpg")
    places = sorted((burst, bracket[0], alone), key=means.__getitem__, reverse=True)
    options = ("--one-per-group", "--copy-best", copies, "--top", 3, "--format", "json")
    result = run("rank", folder, *options)
    rows = json.loads(result.stdout)
    assert {row["source"] for row in rows} == {burst, *bracket, alone}
    for row in rows:
        shared = bracket[0] if row["source"] in bracket else row["source"]
        assert row["rank"] == places.index(shared) + 1
        assert (row["kind"], row["members"]) == {
            burst: (None, 4), bracket[0]: ("bracket", 3), alone: (None, 1)
        }[shared]  # fmt: skip
    assert "left out by --one-per-group: 3 photos of 1 groups; kept whole: 1 x bracket" in (
        result.stderr
    )
    assert len(list(copies.iterdir())) == 5
    # A set is one place: it is kept or left out as a whole.
    run("rank", folder, "--one-per-group", "--top", 1, "-o", tmp_path / "first.json")
    first = json.loads((tmp_path / "first.json").read_text())
    assert {row["source"] for row in first} == (
        set(bracket) if places[0] == bracket[0] else {places[0]}
    )
    table = run("rank", folder, "--one-per-group", "--html", tmp_path / "page.html").stdout
    assert "best of 4" in table and "bracket of 3" in table
    page = (tmp_path / "page.html").read_text()
    assert page.count('"kind":"bracket"') == 3
    assert set(re.findall(r"burst\d\.jpg", page)) == {Path(burst).name}


def test_stars_go_to_one_of_each_group_and_alike_to_a_set(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lxml")
    monkeypatch.chdir(tmp_path)
    wedding(tmp_path / "photos")
    run("rank", "photos", "--one-per-group", "--xmp", "--stars", "30,60,90,95")
    stars = {
        path.name.removesuffix(".jpg.xmp"): re.findall(r'Rating="?>?(\d)', path.read_text())
        for path in (tmp_path / "photos").glob("*.xmp")
    }
    assert len(stars) == 5
    assert stars["bracket0"] == stars["bracket1"] == stars["bracket2"]
    assert len({tuple(each) for each in stars.values()}) == 3
