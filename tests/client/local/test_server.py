"""The embedded server: starts, says why it does not, and never stays behind."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.client.conftest import children_of
from tests.client.faulty import PATIENT
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from iq_client import AccessDenied, Client, LocalServer, LocalServerError
from iq_client.local import server as server_module

pytestmark = pytest.mark.slow  # starts servers of its own

STUB = "triton_python_backend_stub"
STARTUP = 300.0  # seconds: no machine is that slow


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
    with pytest.raises(ZeroDivisionError), server, Client(url) as client:
        assert server.url == url
        assert client.score_images(b"abc")[0].ok
        processes = {server.pid} | children_of(server.pid)
        raise ZeroDivisionError
    wait_until_gone(processes)


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


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_ends_when_its_parent_is_killed(stub_repository: Path, number: signal.Signals) -> None:
    before = shared_memory()
    script, processes, _ = start_script(stub_repository, "time.sleep(600)")
    with script:
        script.send_signal(number)
    wait_until_gone(processes)
    assert shared_memory() <= before


def test_outlives_the_thread_that_started_it_and_stops_gently(stub_repository: Path) -> None:
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
        pid = server.pid
        server.stop(drain=True)
        assert not alive(pid)
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
        url = server.url
        assert server._process is not None
        server._process.kill()  # its supervisor, and with it the server
        server.wait()
        assert not server.running
        server.start()
        assert server.url == url
        with Client(url) as client:
            assert client.score_images(b"abc")[0].ok


def stub_process(server: LocalServer) -> int:
    """The process of a Python model."""
    (pid,) = (
        pid for pid in children_of(server.pid) if STUB in Path(f"/proc/{pid}/exe").readlink().name
    )
    return pid


# Kills of a Triton, of a model's process and a crash, in an order that the seed says.
KILLS = random.Random(13).sample(["server", "model", "crash"], 3)


def test_kills_in_the_middle_of_a_call_lose_nothing(
    stub_repository: Path, tmp_path: Path, stub_mean: Callable[[bytes], float]
) -> None:
    images = [b"photo %d" % number for number in range(4000)]
    log = tmp_path / "server.log"
    kills = dict(zip(range(500, 4000, 1000), KILLS, strict=False))
    means = []
    server = LocalServer(stub_repository, log_file=log, startup_timeout=STARTUP)
    with server, Client(server.url, retry=PATIENT, batch_size=16, in_flight=2) as client:
        for number, score in enumerate(client.iter_scores(images)):
            assert score.ok, score.error
            means.append(score.mean)
            if kind := kills.get(number):
                pid = stub_process(server) if kind == "model" else server.pid
                os.kill(pid, signal.SIGSEGV if kind == "crash" else signal.SIGKILL)
    assert means == pytest.approx([stub_mean(image) for image in images])
    assert len(set(means)) > 1
    # A kill that meets a server on its way up may be one with the kill before.
    assert 1 <= log.read_text().count("is started again") <= len(KILLS)


def test_a_model_that_does_not_load_is_explained(stub_repository: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(stub_repository, repository)
    (repository / "nima" / "1" / "model.py").write_text("raise RuntimeError('no such tower')\n")
    with pytest.raises(LocalServerError, match="no such tower"):
        LocalServer(repository).start()


def test_a_taken_port_is_one_line(stub_repository: Path, stub_server: LocalServer) -> None:
    port = int(stub_server.url.rpartition(":")[2])
    with pytest.raises(LocalServerError, match=f"{port} of 127.0.0.1 is in use") as raised:
        LocalServer(stub_repository, grpc_port=port).start()
    assert "\n" not in str(raised.value)


def test_an_address_of_another_machine_is_one_line(stub_repository: Path) -> None:
    with pytest.raises(LocalServerError, match=r"192\.0\.2\.1 cannot be listened on") as raised:
        LocalServer(stub_repository, host="192.0.2.1", insecure=True).start()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "192.0.2.1"])
def test_other_machines_are_let_in_on_wish_only(stub_repository: Path, host: str) -> None:
    with pytest.raises(LocalServerError, match="--insecure"):
        LocalServer(stub_repository, host=host)
    with pytest.raises(LocalServerError, match="HTTP"):
        LocalServer(stub_repository, host=host, token="secret", http_port=0)
    LocalServer(stub_repository, host=host, token="secret")
    LocalServer(stub_repository, host=host, insecure=True, http_port=0)


@pytest.mark.parametrize("token", ["", "a b", "a:b", "a=b", "ä", "line\nbreak"])
def test_a_token_that_triton_would_misread(stub_repository: Path, token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        LocalServer(stub_repository, token=token)


def test_an_ipv6_server_with_a_token_below_a_folder_with_a_blank_and_a_quote(
    stub_repository: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "Anna's photos" / "models"
    shutil.copytree(stub_repository, repository)
    server = LocalServer(repository, host="[::1]", token="s3cret", startup_timeout=STARTUP)
    with server:
        assert server.url.startswith("[::1]:")
        with Client(server.url, headers=server.headers) as client:
            assert client.score_images(b"abc")[0].ok
        with Client(server.url) as stranger, pytest.raises(AccessDenied):
            stranger.score_images(b"abc")


def test_the_doors_beside_scoring_are_shut(stub_server: LocalServer) -> None:
    command = Path(f"/proc/{stub_server.pid}/cmdline").read_bytes().decode().split("\0")
    (restriction,) = (part for part in command if part.startswith("--grpc-restricted-protocol="))
    key = restriction.rpartition("closed=")[2]
    doors: list[Callable[[InferenceServerClient, dict[str, str]], object]] = [
        lambda client, headers: client.get_system_shared_memory_status(headers=headers),
        lambda client, headers: client.register_system_shared_memory(
            "region", "/none", 64, headers=headers
        ),
        lambda client, headers: client.register_cuda_shared_memory(
            "region", b"", 0, 64, headers=headers
        ),
        lambda client, headers: client.get_model_repository_index(headers=headers),
        lambda client, headers: client.unload_model("nima", headers=headers),
        lambda client, headers: client.get_inference_statistics(headers=headers),
        lambda client, headers: client.get_trace_settings(headers=headers),
        lambda client, headers: client.update_log_settings({"log_info": False}, headers=headers),
    ]
    with InferenceServerClient(stub_server.url) as client:
        assert client.is_model_ready("nima")
        for door in doors:
            with pytest.raises(InferenceServerException, match="restricted"):
                door(client, {})
            # The key, which every user of the machine can read, is longer than Triton takes.
            with pytest.raises(InferenceServerException):
                door(client, {"triton-grpc-protocol-closed": key})
        assert client.is_model_ready("nima")


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
        assert server_module.free_port("127.0.0.1") != first.getsockname()[1]


def test_a_start_that_the_machine_was_too_busy_for_is_tried_again(
    stub_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Triton gives up where a model's process does not run for a second."""
    tries: list[int] = []
    ready, log = LocalServer._await_ready, LocalServer._log_tail

    def too_busy(server: LocalServer, ports: dict[str, int | None]) -> None:
        tries.append(server.pid)
        if len(tries) == 1:
            raise LocalServerError("the embedded server ended with status 1")
        ready(server, ports)

    def told(server: LocalServer) -> str:
        return "Stub process 'nima_0_0' is not healthy." if len(tries) == 1 else log(server)

    monkeypatch.setattr(LocalServer, "_await_ready", too_busy)
    monkeypatch.setattr(LocalServer, "_log_tail", told)
    with LocalServer(stub_repository, startup_timeout=STARTUP) as server, Client(server.url) as one:
        assert one.score_images([b"photo"])[0].ok
    assert len(set(tries)) == 2
