"""A network that misbehaves, between a client and any server."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time


class FaultyNetwork:
    """Forwards connections to a server; `mode` decides what happens to what comes next.

    `pass` forwards; `delay` forwards after 50 ms; `reset` breaks the next connection off in the
    middle of what it carries, then passes; `silence` keeps the connections that there are open and
    forwards nothing, as a network does that loses packets without a word.
    """

    def __init__(self, upstream: str) -> None:
        host, _, port = upstream.rpartition(":")
        self._upstream = (host, int(port))
        self.mode = "pass"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._connections: list[tuple[socket.socket, socket.socket]] = []
        self._silenced: list[threading.Event] = []

    def __enter__(self) -> FaultyNetwork:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.reset()

    def reset(self) -> None:
        """Breaks all connections off."""
        for pair in self._connections:
            for side in pair:
                with contextlib.suppress(OSError):
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    side.shutdown(socket.SHUT_RDWR)
                side.close()
        self._connections.clear()

    def silence(self) -> None:
        """Lets nothing through any more on the connections that there are."""
        for silenced in self._silenced:
            silenced.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._upstream)
            except OSError:
                return
            self._connections.append((client, server))
            silenced = threading.Event()
            self._silenced.append(silenced)
            for source, target in ((client, server), (server, client)):
                threading.Thread(
                    target=self._forward, args=(source, target, silenced), daemon=True
                ).start()

    def _forward(
        self, source: socket.socket, target: socket.socket, silenced: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if silenced.is_set():
                    continue
                if self.mode == "delay":
                    time.sleep(0.05)
                if self.mode == "reset":
                    self.mode = "pass"
                    target.sendall(data[: len(data) // 2])
                    break
                target.sendall(data)
        if not silenced.is_set():
            for side in (source, target):
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)
