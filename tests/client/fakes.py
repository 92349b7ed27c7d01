"""Transports without a server."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from iq_client import Call, Score, ServerInfo


class FakeTransport:
    """Scores the length of every image, as a client's transport."""

    def check(self, timeout: float | None) -> int:
        return 64

    def score(self, images: Sequence[bytes], names: Sequence[str], call: Call) -> list[Score]:
        return [
            Score(name, 1.0 + len(image) % 9, 1.0, (0.1,) * 10)
            for name, image in zip(names, images, strict=True)
        ]

    def server_info(self, timeout: float | None) -> ServerInfo:
        return ServerInfo("nowhere", "fake", "0", (), "nima", ("1",), "python", 64)

    def close(self) -> None:
        pass


class HoldingTransport(FakeTransport):
    """Holds every batch of empty images until its call ends, or the test lets go of it.

    The others get their scores as soon as one is held.
    """

    def __init__(self) -> None:
        self.holding = threading.Event()
        self.let_go = threading.Event()
        self.batches = 0

    def score(self, images: Sequence[bytes], names: Sequence[str], call: Call) -> list[Score]:
        self.batches += 1
        if not any(images):
            self.holding.set()
            while not self.let_go.is_set():
                call.check()
                call.sleep(0.01)
        self.holding.wait()
        return super().score(images, names, call)
