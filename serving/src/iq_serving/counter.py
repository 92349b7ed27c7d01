"""Counts images by the code of their `ERROR` and tells Prometheus, beside Triton's own metrics.

Triton's own interface for metrics of Python models waits for the server at every update, and
crashes the server when such a model is reloaded. This one stays in the model's process and listens
on a port of its own.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

METRIC: Final = "iq_images_total"
READ: Final = "OK"

_HELP: Final = "Images that were asked for, by the code of their ERROR"
_RETRY_SECONDS: Final = 1.0
CONNECTIONS: Final = 8  # at a time; Prometheus has one
CONNECTION_SECONDS: Final = 5.0
_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class ImageCounter:
    """Numbers of images by the code that they ended with, since the model was loaded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._images: Counter[str] = Counter({READ: 0})

    def add(self, errors: Iterable[str]) -> None:
        """Counts images.

        Args:
            errors: `CODE: text` of each, empty where it was read.
        """
        with self._lock:
            self._images.update(error.partition(":")[0] or READ for error in errors)

    def text(self) -> str:
        """The counts in Prometheus' text format."""
        with self._lock:
            counts = sorted(self._images.items())
        lines = [f"# HELP {METRIC} {_HELP}", f"# TYPE {METRIC} counter"]
        lines += [f'{METRIC}{{code="{code}"}} {number}' for code, number in counts]
        return "\n".join(lines) + "\n"

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """A class of handlers that answer `GET /metrics`."""
        counter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path != "/metrics":
                    self.send_error(404)
                    return
                body = counter.text().encode()
                self.send_response(200)
                self.send_header("Content-Type", _CONTENT_TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass  # a scrape every few seconds is no news

        return Handler


class _Server(ThreadingHTTPServer):
    """A server of few connections, each for a short time: it lives in the model's process."""

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # Not a time for each read: a byte now and then would keep the connection.
        over = threading.Timer(CONNECTION_SECONDS, _end, [request])
        over.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            over.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a reader that went away, or was cut off, is no news


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it ended meanwhile
        connection.shutdown(socket.SHUT_RDWR)


class Endpoint:
    """Answers Prometheus on a thread.

    A port that is taken is tried again until it is free: when a model is reloaded, the old process
    listens until the new one is ready.
    """

    def __init__(self, counter: ImageCounter, host: str, port: int) -> None:
        """Starts the thread.

        Args:
            counter: What to tell.
            host: Address to listen on; empty for all.
            port: Port to listen on.
        """
        self._address = (host, port)
        self._handler = counter.handler()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Gives the port back."""
        self._closed.set()
        self._thread.join()

    def _serve(self) -> None:
        complained = False
        while not self._closed.is_set():
            try:
                server = _Server(self._address, self._handler)
            except OSError as error:
                if not complained:
                    complained = True
                    host, port = self._address
                    print(f"metrics on {host}:{port} have to wait: {error}", file=sys.stderr)
                self._closed.wait(_RETRY_SECONDS)
                continue
            server.timeout = _RETRY_SECONDS  # how long a closed endpoint may go on
            with server:
                while not self._closed.is_set():
                    server.handle_request()
