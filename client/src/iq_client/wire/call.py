"""One call of the caller: its deadline and its cancellation."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from iq_client.errors import RequestFailed

if TYPE_CHECKING:
    import grpc

    from iq_client.wire.tracing import CallTrace


class Call:
    """One call of the caller: its deadline, and the requests to cancel when it ends early."""

    def __init__(self, deadline: float | None, trace: CallTrace | None = None) -> None:
        """Starts the clock.

        Args:
            deadline: Seconds for the whole call, or None.
            trace: The call's span, or None.
        """
        self.trace = trace
        self._end = None if deadline is None else time.monotonic() + deadline
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._requests: set[grpc.Future] = set()

    def remaining(self, limit: float | None = None) -> float | None:
        """Seconds that are left, no more than `limit`; None for no end."""
        if self._end is None:
            return limit
        left = max(self._end - time.monotonic(), 0.0)
        return left if limit is None else min(left, limit)

    @property
    def cancelled(self) -> bool:
        """True where nobody waits for the results any more."""
        return self._cancelled.is_set()

    def check(self) -> None:
        """Raises `RequestFailed` where the call was cancelled or its time is up."""
        if self.cancelled:
            raise RequestFailed("CANCELLED", "the call was ended by its caller")
        if self.remaining() == 0.0:
            raise RequestFailed("TIMEOUT", "the deadline of the whole call passed")

    def sleep(self, seconds: float) -> None:
        """Waits, but no longer than the call lasts."""
        self._cancelled.wait(self.remaining(seconds))

    def wait_for(self, request: grpc.Future) -> Any:
        """The response to a request that is cancelled together with this call."""
        with self._lock:
            self._requests.add(request)
        try:
            if self.cancelled:
                request.cancel()
            return request.result()
        finally:
            with self._lock:
                self._requests.discard(request)

    def cancel(self) -> None:
        """Ends everything that is still under way."""
        self._cancelled.set()
        with self._lock:
            requests = list(self._requests)
        for request in requests:
            request.cancel()
