"""The embedded server's health by a real inference: one that hangs is killed, and so started again.

A process that is stopped or stuck does not end, and Triton waits for it: while it starts a model as
well as while it scores. Nothing but the want of an answer tells.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from iq_client.errors import IQClientError

_PROBES: Final = 3  # within the time after which a server counts as hung
_SIDE: Final = 8  # pixels
_BUSY: Final = "Exceeds maximum queue size"
_LOG: Final = logging.getLogger(__name__)


class Watch:
    """A thread that asks a server for the score of a tiny picture, again and again.

    A server that has never answered is left alone: it may have no such model, or want a certificate
    that nobody gave to this thread.
    """

    def __init__(
        self, process: Callable[[], int | None], answers: Callable[[float], bool], seconds: float
    ) -> None:
        """Starts the thread.

        Args:
            process: Process id of the server; None where it does not run at the moment.
            answers: Asks for a score within so many seconds; true where there was an answer.
            seconds: Without any answer, after which the server is killed.
        """
        self._process = process
        self._answers = answers
        self._seconds = seconds
        self.answered = threading.Event()
        """Set from the first answer on."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="iq-client-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Has the thread end behind its present question."""
        self._ended.set()

    def join(self) -> None:
        """Waits for the end of the thread; without a server every question has its answer soon."""
        self._thread.join(self._seconds)

    def _run(self) -> None:
        known, since = None, time.monotonic()
        while not self._ended.wait(self._seconds / _PROBES):
            process = self._process()
            if process != known:  # a new one has all its time to start
                known, since = process, time.monotonic()
            if self._answers(self._seconds / _PROBES):
                self.answered.set()
                since = time.monotonic()
            hung = self.answered.is_set() and time.monotonic() - since > self._seconds
            if hung and known is not None and not self._ended.is_set():
                if self._process() == known:
                    _LOG.warning("the embedded server hangs and is started again")
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(known, signal.SIGKILL)
                since = time.monotonic()


def answers(url: str, headers: dict[str, str], seconds: float) -> bool:
    """True where a server scores a tiny picture, each time another one, or is too busy to.

    Args:
        url: Its address.
        headers: With its token.
        seconds: For the answer.
    """
    from PIL import Image

    from iq_client.client import Client
    from iq_client.wire.retry import RetryPolicy

    file = io.BytesIO()
    # The response cache would answer for a dead process.
    Image.frombytes("L", (_SIDE, _SIDE), os.urandom(_SIDE * _SIDE)).save(file, "PNG")
    once = RetryPolicy(attempts=1)
    try:
        with Client(url, headers=headers, retry=once, timeout=seconds, deadline=seconds) as client:
            score = client.score_images([file.getvalue()])[0]
    except IQClientError as error:
        return _BUSY in str(error)
    return score.error is None or _BUSY in score.error.message
