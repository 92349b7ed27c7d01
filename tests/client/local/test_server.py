"""The embedded server: starts, says why it does not, and never stays behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from tests.client.faulty import PATIENT

from iq_client import Client, LocalServer, LocalServerError
from iq_client.local import server as server_module

pytestmark = pytest.mark.slow  # starts servers of its own

STARTUP = 300.0  # seconds: no machine is that slow


def children_of(pid: int) -> set[int]:
    """All processes below one, at any depth."""
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for task in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            children = [int(child) for child in task.read_text().split()]
            found.update(children)
            waiting.extend(children)
    return found


def alive(pid: int) -> bool:
    """True for a process that runs; one that ended and was not waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def wait_until_gone(pids: set[int]) -> None:
    """Waits for processes to end; those that stay behind would hold up the test for ever."""
    while any(map(alive, pids)):
        time.sleep(0.02)


def test_ends_with_the_block_and_keeps_its_address(stub_repository: Path) -> None:
    server = LocalServer(stub_repository, startup_timeout=STARTUP)
    with pytest.raises(LocalServerError, match="start"):
        _ = server.url
    with server:
        url = server.url
        processes = {server.pid} | children_of(server.pid)
        assert server.log_path.is_file()
        with Client(url) as client:
            assert client.score_images(b"abc")[0].ok
        folder = server.log_path.parent
    wait_until_gone(processes)
    assert not folder.exists()
    with pytest.raises(LocalServerError):
        _ = server.pid
    with server, Client(url) as client:
        assert server.url == url
        assert client.score_images(b"abc")[0].ok


def test_listens_on_this_machine_only(stub_server: LocalServer) -> None:
    port = int(stub_server.url.rpartition(":")[2])
    listening = [
        line.split()[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[3] == "0A" and int(line.split()[1].rpartition(":")[2], 16) == port
    ]
    # 127.0.0.1, as the kernel writes it for IPv4 and for IPv6 sockets.
    assert [address.rpartition(":")[0][-8:] for address in listening] == ["0100007F"]


def test_an_exception_in_the_block_ends_it(stub_repository: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        LocalServer(stub_repository, startup_timeout=STARTUP) as server,
    ):
        pid = server.pid
        raise ZeroDivisionError
    wait_until_gone({pid})


SCRIPT = """
import sys, time
from iq_client import LocalServer
server = LocalServer(sys.argv[1], startup_timeout=300).start()
print(server.pid, server.log_path, flush=True)
{then}
"""


def start_script(stub_repository: Path, then: str) -> tuple[subprocess.Popen[str], set[int], Path]:
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(then=then), str(stub_repository)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        # A shell's background job ignores SIGINT, and what it starts inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert script.stdout is not None
    pid, _, log = script.stdout.readline().strip().partition(" ")
    # The supervisor, Triton and the process that runs the Python model.
    processes = children_of(script.pid)
    assert int(pid) in processes
    assert len(processes) >= 3
    return script, processes, Path(log)


def shared_memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("iq_client_*")}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_ends_when_its_parent_is_killed(stub_repository: Path, number: signal.Signals) -> None:
    before = shared_memory()
    script, processes, _ = start_script(stub_repository, "time.sleep(600)")
    with script:
        script.send_signal(number)
    wait_until_gone(processes)
    assert shared_memory() <= before


def test_outlives_the_thread_that_started_it(stub_repository: Path) -> None:
    server = LocalServer(stub_repository, startup_timeout=STARTUP)
    thread = threading.Thread(target=server.start)
    thread.start()
    task = Path(f"/proc/self/task/{thread.native_id}")
    thread.join()
    try:
        while task.exists():  # Python is done with a thread before the system is
            time.sleep(0.02)
        with Client(server.url) as client:
            assert client.score_images(b"abc")[0].ok
    finally:
        server.stop()


def test_ends_with_an_interpreter_that_forgets_it(stub_repository: Path) -> None:
    script, processes, log = start_script(stub_repository, "sys.stdin.readline()")
    with script:
        assert script.stdin is not None
        script.stdin.close()
    assert script.returncode == 0
    wait_until_gone(processes)
    assert not log.exists()


def test_ends_when_even_the_supervisor_is_killed(stub_repository: Path) -> None:
    with LocalServer(stub_repository, startup_timeout=STARTUP) as server:
        pids = {server.pid} | children_of(server.pid)
        supervisor = int(Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(supervisor, signal.SIGKILL)
        wait_until_gone(pids)
        assert not server.running


def test_a_server_that_dies_can_be_started_again(stub_repository: Path) -> None:
    with LocalServer(stub_repository, startup_timeout=STARTUP) as server:
        url, pid = server.url, server.pid
        os.kill(pid, signal.SIGKILL)
        wait_until_gone({pid})
        server.wait()
        assert not server.running
        server.start()
        assert server.url == url
        with Client(url) as client:
            assert client.score_images(b"abc")[0].ok


def test_a_server_that_crashes_is_started_again(stub_repository: Path, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    server = LocalServer(stub_repository, log_file=log, startup_timeout=STARTUP)
    with server, Client(server.url, retry=PATIENT) as client:
        assert client.score_images(b"abc")[0].ok
        first = server.pid
        os.kill(first, signal.SIGSEGV)
        wait_until_gone({first})
        assert client.score_images(b"abc")[0].ok  # asks again until the server is back
        assert server.pid != first
        assert "is started again" in log.read_text()
        pids = {server.pid} | children_of(server.pid)
    wait_until_gone(pids)


def test_stops_gently(stub_repository: Path) -> None:
    with LocalServer(stub_repository, startup_timeout=STARTUP) as server:
        pid = server.pid
        server.stop(drain=True)
        assert not alive(pid)


def test_a_model_that_does_not_load_is_explained(stub_repository: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(stub_repository, repository)
    (repository / "nima" / "1" / "model.py").write_text("raise RuntimeError('no such tower')\n")
    with pytest.raises(LocalServerError, match="no such tower"):
        LocalServer(repository).start()


def test_a_taken_port_is_explained(stub_repository: Path, stub_server: LocalServer) -> None:
    port = int(stub_server.url.rpartition(":")[2])
    with pytest.raises(LocalServerError, match="in use"):
        LocalServer(stub_repository, grpc_port=port).start()


def test_metrics_and_http_and_a_log_file_on_wish(
    stub_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepts = server_module._accepts
    asked: list[int] = []

    def late(host: str, port: int) -> bool:
        asked.append(port)
        return len(asked) > 3 and accepts(host, port)

    monkeypatch.setattr(server_module, "_accepts", late)
    log = tmp_path / "server.log"
    log.write_text("Started GRPCInferenceService at an earlier time\n")
    with LocalServer(
        stub_repository, http_port=0, metrics_port=0, log_file=log, startup_timeout=STARTUP
    ) as server:
        # Ready means that every port accepts.
        ports = {int(url.rpartition(":")[2]) for url in (server.url, server.http_url)}
        assert len(asked) > 3
        assert ports < set(asked)
        with urllib.request.urlopen(server.metrics_url) as answer:
            assert b"nv_inference_count" in answer.read()
        with urllib.request.urlopen(f"http://{server.http_url}/v2/health/ready") as answer:
            assert answer.status == 200
    assert "tritonserver" in log.read_text()


def test_http_is_off_by_itself(stub_server: LocalServer) -> None:
    with pytest.raises(LocalServerError, match="http_port"):
        _ = stub_server.http_url


def test_free_ports_differ_while_both_are_open() -> None:
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        assert server_module._free_port("127.0.0.1") != first.getsockname()[1]
