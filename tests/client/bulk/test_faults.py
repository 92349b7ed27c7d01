"""The whole command under faults: afterwards no row is lost, none doubled, all in order."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.client.bulk.conftest import ROOT, MakePhotos, ServerProcess, assert_whole, workers_of
from tests.client.cli.conftest import COMMAND, environment

from iq_client.bulk import manifest
from iq_client.bulk.manifest import Manifest
from iq_client.bulk.store import Folder

SHARDS = 12


@pytest.fixture
def paths(make_photos: MakePhotos) -> list[Path]:
    return make_photos(10 * SHARDS)


@pytest.fixture
def server(start_server: Callable[[float], ServerProcess]) -> ServerProcess:
    """One that takes long enough for faults to happen in the middle of a run."""
    return start_server(0.2)


def command(paths: list[Path], output: Folder, server: ServerProcess, *more: str) -> list[str]:
    return [
        *COMMAND, "bulk", str(paths[0].parent), "--output", output.url, "--shard-size", "10",
        "--url", server.url, "--batch-size", "5", *more,
    ]  # fmt: skip


def start(arguments: list[str], **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        arguments, env=environment(), cwd=ROOT, stderr=subprocess.PIPE, text=True, **more
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=300)
    assert "Traceback" not in errors, errors
    return process.returncode, errors


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


def test_a_killed_driver(paths: list[Path], output: Folder, server: ServerProcess) -> None:
    process = start(command(paths, output, server))
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
    status, errors = finish(start(command(paths, output, server)))
    assert status == 0
    assert f"{SHARDS} of {SHARDS} shards done: {len(paths)} photos; " in errors
    assert f"; {len(paths) - 10 * len(done)} sent" in errors
    assert_whole(output, planned(output), paths)
    assert {name: output.read(name) for name in done} == done


def test_two_drivers_at_once(paths: list[Path], output: Folder, server: ServerProcess) -> None:
    processes = [start(command(paths, output, server)) for _ in range(2)]
    ends = [finish(process) for process in processes]
    assert [status for status, _ in ends] == [0, 0], ends
    assert_whole(output, planned(output), paths)


def test_a_full_disk(paths: list[Path], output: Folder, server: ServerProcess) -> None:
    subprocess.run(
        [*COMMAND, "bulk", "plan", str(paths[0].parent), "--output", output.url,
         "--shard-size", "10"],
        env=environment(), cwd=ROOT, check=True,
    )  # fmt: skip

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # a shard's file has more

    status, errors = finish(start(command(paths, output, server), preexec_fn=limit))
    assert status == 3
    assert "cannot write" in errors and "File too large" in errors
    assert files(output) == set()
    assert [name for name in output.names() if name.startswith(".")] == []
    status, errors = finish(start(command(paths, output, server)))
    assert status == 0, errors
    assert_whole(output, planned(output), paths)


def test_ctrl_c(paths: list[Path], output: Folder, server: ServerProcess) -> None:
    def heed() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # which what runs in the background ignores

    process = start(command(paths, output, server), start_new_session=True, preexec_fn=heed)
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
    assert finish(start(command(paths, output, server)))[0] == 0
    assert_whole(output, planned(output), paths)


def test_runs_that_share_the_work(paths: list[Path], output: Folder, server: ServerProcess) -> None:
    processes = []
    for index in range(3):
        process = subprocess.Popen(
            command(paths, output, server, "--of", "3"),
            env=environment(JOB_COMPLETION_INDEX=str(index)),
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
    for index, process in enumerate(processes):
        status, errors = finish(process)
        assert status == 0, errors
        summary = json.loads(output.read(f"_summary-{index}-of-3.json") or b"")
        assert summary["shards"] == summary["done"] == SHARDS / 3
    assert_whole(output, planned(output), paths)
