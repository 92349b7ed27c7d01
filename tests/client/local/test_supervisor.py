"""One command: run again where it crashes, and never longer than it is wanted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from iq_client.local import supervisor

# Runs counted in a file; the command does what the test says in the run of that number.
COMMAND = """
echo run >> "$0"
case $(wc -l < "$0") in {runs} esac
"""


def supervise(
    tmp_path: Path, runs: str, *, of_use: bool, prefix: str = "iq_client_test_none"
) -> subprocess.Popen[str]:
    """The supervisor over a shell; `of_use` tells it from the start that the command is."""
    program = (
        "import os, signal, sys\n"
        f"from {supervisor.__name__} import supervise\n"
        f"import {supervisor.__name__} as module\n"
        "module.FIRST_PAUSE_SECONDS = 0.001\n"
        "module.GRACE_SECONDS = 1e6\n"
        "module.UNWAITED_SECONDS = module.LOOK_SECONDS = 0.1\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})\n"
        f"{'os.kill(os.getpid(), signal.SIGUSR1)' if of_use else ''}\n"
        "status = supervise(os.getppid(), sys.argv[1], sys.argv[2:])\n"
        "print('status', status, file=sys.stderr, flush=True)\n"
        "os._exit(0)\n"
    )
    shell = ["/bin/sh", "-c", COMMAND.format(runs=runs), str(tmp_path / "runs")]
    return subprocess.Popen(
        [sys.executable, "-c", program, prefix, *shell],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def status_of(process: subprocess.Popen[str]) -> int:
    _, err = process.communicate()
    return int(err.rpartition("status ")[2])


def runs_of(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text().splitlines())


@pytest.mark.parametrize("status", [0, 7])
def test_a_command_that_ends_is_not_run_again(tmp_path: Path, status: int) -> None:
    assert status_of(supervise(tmp_path, f"*) exit {status};;", of_use=True)) == status
    assert runs_of(tmp_path) == 1


@pytest.mark.parametrize("number", ["SEGV", "KILL"])
def test_a_command_of_use_is_run_again_however_often(tmp_path: Path, number: str) -> None:
    process = supervise(tmp_path, f"6) exit 5;; *) kill -{number} $$;;", of_use=True)
    assert status_of(process) == 5
    assert runs_of(tmp_path) == 6


def test_a_command_that_crashes_before_it_is_of_use_stays_down(tmp_path: Path) -> None:
    process = supervise(tmp_path, "*) kill -ABRT $$;;", of_use=False)
    assert status_of(process) == -signal.SIGABRT
    assert runs_of(tmp_path) == supervisor.USELESS_STARTS


@pytest.mark.parametrize(
    "end",
    ["kill -KILL $(exec sh -c 'echo $PPID')", "exit 3", "exit 0"],
    ids=["killed", "failed", "done"],
)
def test_a_command_that_loses_a_child_is_run_again(tmp_path: Path, end: str) -> None:
    # Like Triton: it goes on, and does not wait for what it has lost.
    process = supervise(tmp_path, f"3) exit 4;; *) ({end}) & exec sleep 1000000;;", of_use=True)
    assert status_of(process) == 4
    assert runs_of(tmp_path) == 3


def test_shared_memory_is_removed(tmp_path: Path) -> None:
    prefix = f"iq_client_test_{uuid.uuid4().hex}_"
    region, other = Path(f"/dev/shm/{prefix}region"), Path(f"/dev/shm/other_{prefix}")
    try:
        region.touch()
        other.touch()
        assert status_of(supervise(tmp_path, "*) exit 0;;", of_use=True, prefix=prefix)) == 0
        assert not region.exists()
        assert other.exists()
    finally:
        region.unlink(missing_ok=True)
        other.unlink()


def test_a_command_may_finish_what_it_has_begun(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    runs = f"*) trap 'exit 9' TERM; touch {ready}; while :; do sleep 0.01; done;;"
    process = supervise(tmp_path, runs, of_use=True)
    while not ready.exists():
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGTERM)
    assert status_of(process) == 9
