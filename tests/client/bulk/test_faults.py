"""The whole command under faults: afterwards no row is lost, none doubled, all in order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.client.bulk.conftest import ROOT, MakePhotos, assert_whole, workers_of
from tests.client.cli.conftest import COMMAND, environment
from tests.client.faulty import Fault, FaultyServer, no_fault, until_cancelled

from iq_client.bulk import manifest
from iq_client.bulk.manifest import Manifest, plan
from iq_client.bulk.store import Folder

pytestmark = pytest.mark.slow  # a command and its workers take seconds to start

SHARDS = 12
REQUESTS = 2  # of a shard
WORKERS = 2


@pytest.fixture
def paths(make_photos: MakePhotos) -> list[Path]:
    return make_photos(10 * SHARDS)


def command(
    paths: list[Path], output: Folder, server: FaultyServer, *more: str, workers: int = 1
) -> list[str]:
    return [
        *COMMAND, "bulk", str(paths[0].parent), "--output", output.url, "--shard-size", "10",
        "--url", server.url, "--batch-size", "5", "--workers", str(workers), *more,
    ]  # fmt: skip


def start(arguments: list[str], **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        arguments, env=environment(), cwd=ROOT, stderr=subprocess.PIPE, text=True, **more
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate()
    assert "Traceback" not in errors, errors
    return process.returncode, errors


def one_shard_then_none() -> Fault:
    """One worker's first shard is answered, whichever it is, and nothing after it."""

    def fault(number: int, request: Any, context: Any) -> None:
        if number > WORKERS * (REQUESTS - 1):
            until_cancelled(context)

    return fault


def files(output: Folder) -> set[str]:
    return {name for name in output.names() if name.endswith(".parquet")}


def wait_for_files(output: Folder, process: subprocess.Popen[str]) -> None:
    while not files(output):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def planned(output: Folder) -> Manifest:
    made = manifest.load(output)
    assert made is not None and len(made.shards) == SHARDS
    return made


def test_a_killed_driver(paths: list[Path], output: Folder, scoring: FaultyServer) -> None:
    scoring.fault = one_shard_then_none()
    process = start(command(paths, output, scoring, workers=WORKERS))
    wait_for_files(output, process)
    workers = workers_of(process.pid)
    assert workers
    process.kill()
    process.communicate()
    # Those it started end by themselves, whatever they were at.
    while any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers):
        time.sleep(0.05)
    done = {name: output.read(name) for name in files(output)}
    assert 0 < len(done) < SHARDS
    scoring.fault = no_fault
    status, errors = finish(start(command(paths, output, scoring)))
    assert status == 0
    assert f"{SHARDS} of {SHARDS} shards done: {len(paths)} photos; " in errors
    assert f"; {len(paths) - 10 * len(done)} sent" in errors
    assert_whole(output, planned(output), paths)
    assert {name: output.read(name) for name in done} == done


def test_two_drivers_at_once(paths: list[Path], output: Folder, scoring: FaultyServer) -> None:
    asking: set[str] = set()
    both = threading.Event()

    def fault(number: int, request: Any, context: Any) -> None:
        """No answer before both ask, unless one is too late for that."""
        asking.add(context.peer())
        if len(asking) < 2:
            both.wait(20)
        both.set()

    scoring.fault = fault
    processes = [start(command(paths, output, scoring)) for _ in range(2)]
    ends = [finish(process) for process in processes]
    assert [status for status, _ in ends] == [0, 0], ends
    assert_whole(output, planned(output), paths)


def test_a_full_disk(paths: list[Path], output: Folder, scoring: FaultyServer) -> None:
    made = plan([str(paths[0].parent)], output, 10)
    # In blocks of 512 bytes; a shard's file has more.
    limited = ["sh", "-c", 'ulimit -f 4; exec "$@"', "sh", *command(paths, output, scoring)]
    status, errors = finish(start(limited))
    assert status == 3
    assert "cannot write" in errors and "File too large" in errors
    assert files(output) == set()
    assert [name for name in output.names() if name.startswith(".")] == []
    status, errors = finish(start(command(paths, output, scoring)))
    assert status == 0, errors
    assert_whole(output, made, paths)


def test_ctrl_c(paths: list[Path], output: Folder, scoring: FaultyServer) -> None:
    scoring.fault = one_shard_then_none()
    # What runs in the background ignores the signal.
    heeding = ["env", "--default-signal=INT", *command(paths, output, scoring, workers=WORKERS)]
    process = start(heeding, start_new_session=True)
    wait_for_files(output, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it as well
    status, errors = finish(process)
    assert status == 130
    assert "interrupted" in errors
    done = files(output)
    summary = json.loads(output.read("_summary.json") or b"")
    assert summary["shards"] == SHARDS
    # A shard whose worker had no time left to tell of it is not in the summary.
    assert 0 <= summary["done"] <= len(done) < SHARDS
    scoring.fault = no_fault
    assert finish(start(command(paths, output, scoring)))[0] == 0
    assert_whole(output, planned(output), paths)


def test_runs_that_share_the_work(paths: list[Path], output: Folder, scoring: FaultyServer) -> None:
    runs = 2
    processes = []
    for index in range(runs):
        process = subprocess.Popen(
            command(paths, output, scoring, "--of", str(runs)),
            env=environment(JOB_COMPLETION_INDEX=str(index)),
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
    for index, process in enumerate(processes):
        status, errors = finish(process)
        assert status == 0, errors
        summary = json.loads(output.read(f"_summary-{index}-of-{runs}.json") or b"")
        assert summary["shards"] == summary["done"] == SHARDS / runs
    assert_whole(output, planned(output), paths)
