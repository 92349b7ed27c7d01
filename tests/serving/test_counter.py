"""Images by the code of their ERROR, as Prometheus reads them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest

from iq_serving import counter as module
from iq_serving.counter import Endpoint, ImageCounter


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _get(port: int, path: str = "/metrics") -> str:
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=300) as response:
                return str(response.read().decode())
        except urllib.error.HTTPError:
            raise
        except OSError:  # not listening yet
            time.sleep(0.05)


def test_counts_by_code() -> None:
    counter = ImageCounter()
    counter.add(["", "EMPTY: the file has no bytes", ""])
    counter.add(["UNREADABLE: damaged: JPEG", "EMPTY: the file has no bytes"])
    lines = counter.text().splitlines()
    assert lines[:2] == [
        "# HELP iq_images_total Images that were asked for, by the code of their ERROR",
        "# TYPE iq_images_total counter",
    ]
    assert lines[2:] == [
        'iq_images_total{code="EMPTY"} 2',
        'iq_images_total{code="OK"} 2',
        'iq_images_total{code="UNREADABLE"} 1',
    ]


def test_an_endpoint_takes_over_a_port_and_gives_it_back(
    capfd: pytest.CaptureFixture[str],
) -> None:
    port = _free_port()
    counters = [ImageCounter(), ImageCounter()]
    counters[1].add(["TOO_LARGE: 9 bytes"])
    first = Endpoint(counters[0], "127.0.0.1", port)
    assert "TOO_LARGE" not in _get(port)
    second = Endpoint(counters[1], "127.0.0.1", port)
    with pytest.raises(urllib.error.HTTPError):
        _get(port, "/other")
    first.close()
    assert "TOO_LARGE" in _get(port)
    second.close()
    assert "have to wait" in capfd.readouterr().err
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_slow_readers_take_few_threads_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTION_SECONDS", 1.0)
    port = _free_port()
    endpoint = Endpoint(ImageCounter(), "127.0.0.1", port)
    assert "OK" in _get(port)
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(60)
        ]
        for connection in slow:
            with contextlib.suppress(OSError):  # refused
                connection.send(b"GET /metrics HTTP/1.1\r\nx: ")
        # One to read and one to end each connection.
        assert threading.active_count() <= before + 2 * module.CONNECTIONS
        for connection in slow:  # each of them is ended, though none of them is done
            connection.settimeout(60)
            with contextlib.suppress(ConnectionError):
                assert connection.recv(1) == b""
        assert "OK" in _get(port)
    endpoint.close()
