"""Scores of an earlier run."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.client.cli.conftest import HOSTILE, Run
from tests.client.conftest import full_disk
from tests.client.faulty import FaultyServer, description

from iq_client.cli.resume import Index
from iq_client.files import lock
from iq_client.formats import read_scores


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_resume_scores_only_what_is_new(
    run: Run, photos: Path, tmp_path: Path, ending: str
) -> None:
    kept = tmp_path / f"kept.{ending}"
    some = [photos / "01.jpg", photos / "04.jpg"]
    run("score", *some, "gone.jpg", "--resume", kept, code=1)
    assert [score.source for score in read_scores(kept)] == [str(path) for path in some]
    whole = run("score", photos, "--format", "json").stdout
    # What is kept is taken as it is, even where the file would now be scored otherwise.
    (photos / "01.jpg").write_bytes(b"changed")
    again = run("score", photos, "--resume", kept, "--format", "json").stdout
    assert json.loads(again) == json.loads(whole)
    assert len(list(read_scores(kept))) == 12
    unchanged = kept.stat().st_size
    run("rank", photos, "--resume", kept)
    assert len(list(read_scores(kept))) == 12
    assert kept.stat().st_size == unchanged


def test_resume_after_a_line_was_cut_off(run: Run, photos: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    run("score", photos, "--resume", kept)
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-20])
    run("score", photos, "--resume", kept)
    assert kept.read_bytes() == whole


def test_resume_in_the_middle_keeps_the_order(run: Run, photos: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    run("score", photos / "04.jpg", photos / "deeper", "--resume", kept)
    rows = json.loads(
        run("score", photos, "--resume", kept, "--batch-size", 2, "--format", "json").stdout
    )
    plain = json.loads(run("score", photos, "--format", "json").stdout)
    assert rows == plain


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_scores_of_another_tower_are_not_mixed_in(
    run: Run, faulty: FaultyServer, photos: Path, tmp_path: Path, ending: str
) -> None:
    kept = tmp_path / f"kept.{ending}"
    command = ("score", photos, "--url", faulty.url, "--resume", kept)
    faulty.tower = description("one")
    run("score", photos / "01.jpg", *command[2:])
    before = kept.read_bytes()
    faulty.tower = description("two")
    error = " ".join(run(*command, code=2).stderr.split())
    assert "of the tower one@" in error and "has the tower two@" in error
    assert "--mix-towers" in error
    faulty.tower = None
    error = " ".join(run(*command, code=2).stderr.split())
    assert "has a tower that is not named" in error
    assert kept.read_bytes() == before
    faulty.tower = description("two")
    run(*command, "--mix-towers")
    towers = [str(score.tower).partition("@")[0] for score in read_scores(kept)]
    assert towers == ["one"] + ["two"] * 11
    assert "--resume" in run("score", photos, "--mix-towers", code=2).stderr


def test_scores_that_name_no_tower_are_not_mixed_in(
    run: Run, faulty: FaultyServer, photos: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.jsonl"
    run("score", photos / "01.jpg", "--resume", kept)
    row = json.loads(kept.read_text())
    del row["tower"], row["percentile"]  # as an earlier version wrote it
    kept.write_text(json.dumps(row) + "\n")
    faulty.tower = description()
    error = run("score", photos, "--url", faulty.url, "--resume", kept, code=2).stderr
    assert "a tower that is not named" in " ".join(error.split())
    run("score", photos, "--resume", kept)
    assert len(list(read_scores(kept))) == 12


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_names_are_found_again_whatever_they_are(run: Run, tmp_path: Path, ending: str) -> None:
    folder = tmp_path / "hostile"
    folder.mkdir()
    for number, name in enumerate(HOSTILE):
        (folder / name).write_bytes(b"photo %d" % number)
    kept = tmp_path / f"kept.{ending}"
    first = run("score", folder, "--resume", kept, "--format", "json").stdout
    size = kept.stat().st_size
    again = run("score", folder, "--resume", kept, "--format", "json").stdout
    assert json.loads(again) == json.loads(first)
    assert kept.stat().st_size == size


@given(st.lists(st.text()))
@example(["s3://a-bucket/photos/2026/11/000000903.jpg"])  # whose digest ends with a zero
def test_the_index_finds_the_last_row_of_a_source(sources: list[str]) -> None:
    index = Index()
    for place, source in enumerate(sources):
        index.add(source, place)
    index.close()
    expected = {source: place for place, source in enumerate(sources)}
    assert {source: index.find(source) for source in sources} == expected
    assert index.find("in none of them" * 3) is None


def test_a_row_takes_less_than_a_hundred_bytes() -> None:
    rows = 50_000
    tracemalloc.start()
    try:
        index = Index()
        for place in range(rows):
            index.add(f"photos/2026/11/{place:09d}.jpg", place)
        index.close()
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert index.find("photos/2026/11/000012345.jpg") == 12345
    assert held / rows < 50
    assert peak / rows < 100


@pytest.mark.parametrize("option", ["-o", "--html"])
@pytest.mark.parametrize("way", ["same", "dots", "link", "new"])
def test_results_never_replace_what_is_kept(
    run: Run, photos: Path, tmp_path: Path, option: str, way: str
) -> None:
    kept = tmp_path / "kept.jsonl"
    if way != "new":
        run("score", photos, "--resume", kept)
    before = kept.read_bytes() if kept.exists() else None
    other = kept
    if way == "dots":
        other = tmp_path / "photos" / ".." / "kept.jsonl"
    elif way == "link":
        other = tmp_path / "link.jsonl"
        other.symlink_to(kept)
    refused = run("rank", photos, "--top", 3, option, other, "--resume", kept, code=2)
    assert "--resume are one file" in refused.stderr
    assert (kept.read_bytes() if kept.exists() else None) == before


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_two_commands_on_one_file_are_told_apart(
    run: Run, photos: Path, tmp_path: Path, ending: str
) -> None:
    kept = tmp_path / f"kept.{ending}"
    run("score", photos, "--resume", kept)
    before = kept.read_bytes()
    # What a command that is under way holds: the file itself, or the one that will replace it.
    held = kept if ending == "jsonl" else tmp_path / "kept.parquet.partial"
    with held.open("ab") as stream:
        lock(stream)
        refused = run("score", photos, "--resume", kept, code=2)
    assert "another process" in refused.stderr
    assert kept.read_bytes() == before
    run("score", photos, "--resume", kept)


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_full_disk_costs_nothing_that_was_kept(
    run: Run, photos: Path, tmp_path: Path, ending: str
) -> None:
    kept = tmp_path / f"kept.{ending}"
    run("score", photos / "01.jpg", photos / "04.jpg", "--resume", kept)
    earlier = list(read_scores(kept))
    with full_disk(kept.stat().st_size + 10):
        failed = run("score", photos, "--resume", kept, code=1)
    assert failed.stderr.splitlines()[-1].startswith("Error: ")
    assert list(read_scores(kept))[:2] == earlier
    run("score", photos, "--resume", kept)
    assert len(list(read_scores(kept))) == 12
