"""The health check: a real inference that sees what Triton's own health does not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.processes import process_of
from tests.repositories import as_ensemble

from iq_client import LocalServer
from iq_tools.health import main


@pytest.fixture
def own_server(model_repository: Path, tmp_path: Path) -> Iterator[LocalServer]:
    """A server of the test's own, which answers from memory what was asked before."""
    cached = ("--cache-config=local,size=1048576",)
    copy = as_ensemble(shutil.copytree(model_repository, tmp_path / "repository"))
    with LocalServer(copy, http_port=0, extra_arguments=cached) as running:
        # The embedded server's own supervisor would start it anew; a container has none.
        supervisor = int(
            Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()[1]
        )
        os.kill(supervisor, signal.SIGSTOP)
        try:
            yield running
        finally:
            os.kill(supervisor, signal.SIGCONT)


def _check(url: str, repository: Path, *more: str) -> int:
    return main(["--url", url, "--model-repository", str(repository), *more])


@pytest.mark.slow
@pytest.mark.parametrize("model", ["nima_preprocess", "nima_tower"])
def test_a_dead_process_of_a_model_is_seen_although_triton_says_it_is_ready(
    model: str,
    own_server: LocalServer,
    model_repository: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = f"http://{own_server.http_url}"
    assert [_check(url, model_repository) for _ in range(2)] == [0, 0]
    os.kill(process_of(model, own_server.pid), signal.SIGKILL)
    while _check(url, model_repository) == 0:
        pass  # until Triton itself has noticed
    assert "nima: " in capsys.readouterr().err
    with urllib.request.urlopen(f"{url}/v2/health/ready") as response:
        assert response.status == 200
    # A stand-in for the container's first process.
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as first:
        while first.poll() is None:
            assert _check(url, model_repository, "--end", str(first.pid)) == 1
        assert first.returncode == -signal.SIGTERM


@pytest.mark.parametrize(
    ("status", "text", "exit_status"),
    [
        (200, "", 0),
        (503, '{"error":"[request id: <id_unknown>] Exceeds maximum queue size"}', 0),
        (503, '{"error":"in ensemble \'nima\', Stub process is not healthy"}', 1),
        (400, '{"error":"Request for unknown model: \'nima\' is not found"}', 1),
    ],
)
def test_a_busy_server_is_not_a_broken_one(
    status: int, text: str, exit_status: int, model_repository: Path
) -> None:
    asked: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as triton:
        threading.Thread(target=triton.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{triton.server_port}"
        assert [_check(url, model_repository) for _ in range(2)] == [exit_status] * 2
        triton.shutdown()
    assert len(set(asked)) == 2  # the response cache knows no picture


def test_a_busy_server_is_not_ended(model_repository: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as silent:  # never serves
        url = f"http://127.0.0.1:{silent.server_port}"
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as first:
            assert _check(url, model_repository, "--timeout", "0.2", "--end", str(first.pid)) == 1
            assert first.poll() is None
            first.kill()


def test_nothing_to_ask_is_no_health(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _check("http://127.0.0.1:9", tmp_path) == 1
    assert str(tmp_path) in capsys.readouterr().err
