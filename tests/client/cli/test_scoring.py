"""Scoring for a command: each photo found and read once, its order kept, and Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from tests.client.cli.conftest import COMMAND, Run
from tests.client.faulty import FaultyServer, lengths_of, until_cancelled

from iq_client import Source
from iq_client.cli import scoring
from iq_client.cli.progress import progress
from iq_client.formats import read_scores
from iq_client.images import files


class Disk:
    """Counts how often photos are looked up and read.

    Attributes:
        looked_up: Count of `os.stat` by path.
        listed: Count of `os.scandir` by folder.
        read: Count of `os.open` by path.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looked_up: Counter[str] = Counter()
        self.listed: Counter[str] = Counter()
        self.read: Counter[str] = Counter()

        def counted(function: Any, counts: Counter[str]) -> Any:
            def call(path: Any, *arguments: Any, **options: Any) -> Any:
                counts[str(path)] += 1
                return function(path, *arguments, **options)

            return call

        names = {name: getattr(os, name) for name in dir(os) if not name.startswith("_")}
        names["stat"] = counted(os.stat, self.looked_up)
        names["scandir"] = counted(os.scandir, self.listed)
        names["open"] = counted(os.open, self.read)
        monkeypatch.setattr(files, "os", SimpleNamespace(**names))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "pictures"
    folder.mkdir()
    paths = [folder / f"{index}.png" for index in range(6)]
    for index, path in enumerate(paths):
        Image.linear_gradient("L").rotate(60 * index).save(path)
    return paths


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is shown, as on a terminal."""

    @contextlib.contextmanager
    def shown(label: str, total: int | None = None) -> Iterator[Any]:
        with progress(label, total) as bar:
            bar.shown = True
            yield bar

    monkeypatch.setattr(scoring, "progress", shown)


@pytest.mark.parametrize("command", ["score", "rank", "groups"])
def test_a_photo_is_looked_up_once_and_read_once(
    run: Run, disk: Disk, pictures: list[Path], command: str
) -> None:
    names = list(map(str, pictures))
    run(command, *names, *(["--no-reasons"] if command != "score" else []))
    assert disk.looked_up == disk.read == Counter(names)


@pytest.mark.parametrize("command", ["score", "rank", "groups"])
def test_counting_and_the_gallery_look_up_nothing_again(
    run: Run, disk: Disk, pictures: list[Path], terminal: None, command: str
) -> None:
    folder = pictures[0].parent
    html = [] if command == "score" else ["--html", folder.parent / "out.html"]
    run(command, folder, *html)
    assert disk.looked_up == disk.listed == Counter([str(folder)])
    assert disk.read == Counter(map(str, pictures))
    if html:
        assert (folder.parent / "out.html").read_text().count("data:image/webp") == len(pictures)


def test_reasons_read_low_photos_again(run: Run, disk: Disk, pictures: list[Path]) -> None:
    rows = json.loads(run("rank", *pictures, "--reasons", "--format", "json").stdout)
    low = {row["source"] for row in rows if row["reasons"] is not None}
    assert low
    assert disk.read == Counter({str(path): 2 if str(path) in low else 1 for path in pictures})


def test_groups_read_what_was_scored_earlier_once(
    run: Run, disk: Disk, pictures: list[Path], tmp_path: Path
) -> None:
    kept = tmp_path / "kept.jsonl"
    run("score", *pictures[:3], "--resume", kept)
    disk.read.clear()
    found = run("groups", *pictures, "--resume", kept, "--format", "json").stdout
    assert disk.read == Counter(map(str, pictures))
    assert json.loads(found) == json.loads(run("groups", *pictures, "--format", "json").stdout)


def test_an_error_of_looking_ahead_is_not_lost() -> None:
    def sources() -> Iterator[Source]:
        yield Source("a", bytes)
        raise PermissionError("the disk is gone")

    told: list[int] = []
    ahead = scoring._ahead(sources(), told.append)
    assert next(ahead).name == "a"
    with pytest.raises(PermissionError, match="gone"):
        next(ahead)
    assert told == []


def test_the_number_is_told_before_the_last_photo_has_passed() -> None:
    told: list[int] = []
    given = [Source(str(index), bytes) for index in range(50)]
    assert list(scoring._ahead(given, told.append)) == given
    assert told == [50]


def test_ctrl_c_cancels_what_can_be_cancelled_and_breaks_nothing_off() -> None:
    """An exception in the midst of waiting for workers could leave them a lock that stays taken."""
    cancelled, ended = threading.Event(), []

    def items() -> Iterator[int]:
        yield 1
        signal.raise_signal(signal.SIGINT)
        cancelled.wait()
        ended.append("whole")
        yield 2

    outcome = scoring.Outcome()
    with scoring.until_interrupted(
        items(), outcome, cancel=cancelled.set, cancellable=lambda: True
    ) as found:
        assert list(found) == [1]
    assert ended == ["whole"]
    assert outcome.interrupted


@pytest.mark.parametrize("file_format", ["table", "json"])
def test_ctrl_c_writes_what_was_done(
    faulty: FaultyServer, tmp_path: Path, file_format: str
) -> None:
    quick = [tmp_path / f"quick {index:02}.jpg" for index in range(50)]
    slow = tmp_path / "slow.jpg"
    for path in quick:
        path.write_bytes(b"x")
    slow.write_bytes(b"slow")

    def fault(number: int, request: Any, context: Any) -> None:
        if lengths_of(request) == [len(b"slow")]:
            until_cancelled(context)

    faulty.fault = fault
    kept = tmp_path / "kept.jsonl"
    process = subprocess.Popen(
        [
            *(*COMMAND, "score", *map(str, quick), str(slow), "--batch-size", "1"),
            *("--format", file_format, "--url", faulty.url, "--resume", str(kept)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (kept.exists() and kept.stat().st_size):  # until something was done
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    done = [score.source for score in read_scores(kept)]
    assert done == list(map(str, quick))[: len(done)]
    assert done
    if file_format == "json":
        assert [row["source"] for row in json.loads(out)] == done
    else:
        assert [line[line.index(str(tmp_path)) :] for line in out.splitlines()[2:]] == done
