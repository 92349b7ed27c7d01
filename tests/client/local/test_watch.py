"""A server that hangs is noticed by its silence, and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.processes import process_of

from iq_client import Client, LocalServer, RetryPolicy
from iq_client.local.watch import Watch, answers

SOON = 0.03  # seconds


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    running = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1e6)"])
    yield running
    running.kill()
    running.wait()


def test_silence_after_an_answer_ends_the_process(process: subprocess.Popen[bytes]) -> None:
    replies = iter([True])
    watch = Watch(lambda: process.pid, lambda _: next(replies, False), SOON)
    assert process.wait() == -signal.SIGKILL
    watch.close()


def test_who_answers_or_never_did_is_left_alone(process: subprocess.Popen[bytes]) -> None:
    for reply in (True, False):
        asked = threading.Semaphore(0)

        def ask(_: float, reply: bool = reply, asked: threading.Semaphore = asked) -> bool:
            asked.release()
            return reply

        watch = Watch(lambda: process.pid, ask, SOON)
        for _ in range(20):
            asked.acquire()
        watch.close()
        watch.join()
    assert process.poll() is None


def test_a_stopped_model_is_replaced(
    stub_repository: Path, example_photos: list[Path], tmp_path: Path
) -> None:
    log = tmp_path / "server.log"
    patient = RetryPolicy(attempts=1000, timeouts=1000)
    with (
        LocalServer(stub_repository, hang_timeout=3.0, log_file=log) as server,
        Client(server.url, retry=patient, timeout=2) as client,
    ):
        assert client.score_images(example_photos[0])[0].ok
        assert answers(server.url, server.headers, 60)
        assert server._watch is not None
        server._watch.answered.wait()
        os.kill(process_of("nima", server.pid), signal.SIGSTOP)
        assert client.score_images(example_photos[0])[0].ok
        assert "started again" in log.read_text()
