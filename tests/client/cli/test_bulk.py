"""`iq-client bulk`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.client.cli.conftest import Run
from tests.client.faulty import FaultyServer, description, faulty_mean

for extra in ("pyarrow", "fsspec"):
    pytest.importorskip(extra)


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    return tmp_path / "scores"


@pytest.fixture
def server(faulty: FaultyServer) -> FaultyServer:
    faulty.tower = description()
    return faulty


def test_a_folder(run: Run, photos: Path, scores: Path, server: FaultyServer) -> None:
    arguments = (photos, "--output", scores, "--url", server.url, "--workers", 1, "--shard-size", 5)
    first = run("bulk", *arguments).stderr
    assert "3 of 3 shards done: 12 photos; 12 sent in" in first
    # The command's other name.
    assert "; 0 sent in" in run("bulk", "run", *arguments).stderr
    assert json.loads((scores / "_summary.json").read_text())["rows"] == 12
    status = run("bulk", "status", scores).stdout
    assert f"input   {photos}\n" in status
    assert "tower   the tower tiny@" in status
    assert "shards  3 of 3 done\nphotos  12 of 12 done\n" in status


def test_top(run: Run, photos: Path, scores: Path, server: FaultyServer) -> None:
    for number, path in enumerate(sorted(photos.rglob("*.jpg"))):
        path.write_bytes(b"x" * (number + 1))
    run("bulk", photos, "--output", scores, "--url", server.url, "--workers", 1, "--shard-size", 5)
    sizes = {str(path): path.stat().st_size for path in photos.rglob("*.jpg")}
    lines = run("bulk", "top", scores, "-n", 4).stdout.splitlines()
    means = sorted(map(faulty_mean, sizes.values()), reverse=True)[:4]
    assert [float(line.split("\t")[0]) for line in lines] == means
    assert all(faulty_mean(sizes[line.split("\t")[1]]) == float(line.split("\t")[0])
               for line in lines)  # fmt: skip
    ids = run("bulk", "top", scores, "-n", 4, "--ids").stdout.splitlines()
    assert ids == [line.split("\t")[1] for line in lines]


def test_photos_without_a_score_are_counted_and_scored_later(
    run: Run, photos: Path, scores: Path, server: FaultyServer, tmp_path: Path
) -> None:
    lines = tmp_path / "list.txt"
    lines.write_text(f"{photos}/01.jpg\n{photos}/new.jpg\n")
    arguments = ("bulk", lines, "--output", scores, "--url", server.url, "--workers", 1)
    assert "2 photos, 1 NOT_FOUND; 2 sent" in run(*arguments).stderr
    assert "1 NOT_FOUND" in run("bulk", "status", scores).stdout
    (photos / "new.jpg").write_bytes(b"new")
    assert "2 photos, 1 NOT_FOUND; 0 sent" in run(*arguments).stderr
    assert "2 photos; 1 sent" in run(*arguments, "--retry-errors").stderr


def test_runs_that_share_the_work(
    run: Run, photos: Path, scores: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (photos, "--output", scores, "--shard-size", 5)
    assert "3 shards of 12 photos" in run("bulk", "plan", *arguments).stdout
    share = ("bulk", *arguments, "--url", server.url, "--workers", 1, "--of", 2)
    assert "2 of 2 shards done: 7 photos" in run(*share, "--index", 0).stderr
    assert run("bulk", "status", scores, "--missing").stdout == "00001\n"
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "1")
    assert "1 of 1 shards done: 5 photos" in run(*share).stderr
    assert run("bulk", "status", scores, "--missing").stdout == ""
    assert (scores / "_summary-1-of-2.json").exists()


def test_counts_for_prometheus(
    run: Run, photos: Path, scores: Path, server: FaultyServer, tmp_path: Path
) -> None:
    file = tmp_path / "iq.prom"
    run(
        "bulk",
        photos,
        "--output",
        scores,
        "--url",
        server.url,
        "--workers",
        1,
        "--prometheus",
        file,
    )
    assert "iq_bulk_photos_done 12\n" in file.read_text()


def test_another_tower_is_refused(
    run: Run, photos: Path, scores: Path, server: FaultyServer
) -> None:
    arguments = ("bulk", photos, "--output", scores, "--url", server.url, "--workers", 1)
    run(*arguments)
    before = {path: path.read_bytes() for path in scores.glob("*.parquet")}
    server.tower = description("other")
    error = run(*arguments, code=3).stderr
    assert "of the tower tiny@" in error and "has the tower other@" in error
    assert {path: path.read_bytes() for path in scores.glob("*.parquet")} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--index", "1"], "--index and --of"),
        (["--of", "2"], "--index and --of"),
        (["--index", "2", "--of", "2"], "not below"),
        (["--deadline", "5"], "--deadline"),
        (["--ray-address", "x"], "--driver ray"),
        (["--driver", "other"], "other"),
    ],
)
def test_wrong_usage_says_what_is_wrong(
    run: Run, photos: Path, scores: Path, arguments: list[str], message: str
) -> None:
    error = run("bulk", photos, "--output", scores, *arguments, code=2).stderr
    assert message in error.replace("\n", " ")
    assert not scores.exists()


def test_no_server(run: Run, photos: Path, scores: Path) -> None:
    error = run("bulk", photos, "--output", scores, "--url", "127.0.0.1:1", code=3).stderr
    assert "127.0.0.1:1" in error


def test_a_folder_without_a_run(run: Run, tmp_path: Path) -> None:
    for command in ("status", "top"):
        assert "holds no bulk run" in run("bulk", command, tmp_path, code=3).stderr
