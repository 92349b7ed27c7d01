"""The number of requests that may be in flight."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

# Of one server; several have as many each.
_START: Final = 4
_MAXIMUM: Final = 16
# Of so many in flight one more is tried at a time: over many servers a single one brings too little
# to be noticed.
_STRIDE: Final = 8
# Further requests in flight have to bring this much more throughput to stay.
_WORTHWHILE: Final = 1.05
_WINDOW: Final = 4  # completed requests per request in flight, for one measurement
_REST: Final = 8  # measurements between two attempts to go higher


class InFlightLimit:
    """A gate for requests: at a fixed width, or one that looks for the best by itself.

    The adaptive gate climbs: it opens by one, or by an eighth, measures how many images per second
    come through, and closes again where that brought nothing. When the server says that it is
    overloaded, the gate halves. It measures only while requests queue for it: otherwise its width
    says nothing.
    """

    def __init__(
        self,
        fixed: int | None = None,
        *,
        servers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts at `fixed`, or adaptively.

        Args:
            fixed: Requests in flight at most; None adapts between 1 and `maximum`.
            servers: Servers that share the requests; the adaptive gate starts wider for more.
            clock: Seconds that only ever grow.
        """
        if fixed is not None and fixed < 1:
            raise ValueError(f"in_flight is {fixed}: give 1 or more, or None to adapt")
        self.width = fixed or _START * servers
        self.maximum = fixed or _MAXIMUM * servers
        self._adaptive = fixed is None
        self._clock = clock
        self._changed = threading.Condition()
        self._in_flight = 0
        self._waiting = 0
        self._proven_rate = 0.0  # images per second at the width before the last step
        self._opened = 1  # places by which it opened last
        self._rest = 0
        self._restart()

    def acquire(self) -> None:
        """Waits for a place."""
        with self._changed:
            if self._in_flight >= self.width:
                self._saturated = True
            while self._in_flight >= self.width:
                self._changed.wait()
            self._in_flight += 1

    def release(self, images: int, *, overloaded: bool = False) -> None:
        """Gives the place back.

        Args:
            images: Count of the images scored in it.
            overloaded: Whether the server refused the request as too much or too late.
        """
        with self._changed:
            self._in_flight -= 1
            if self._adaptive:
                self._completed += 1
                self._images += images
                if overloaded:
                    self._step(max(self.width // 2, 1), proven_rate=0.0, rest=_REST)
                elif self._completed >= _WINDOW * self.width:
                    self._measure()
            self._changed.notify_all()

    def _measure(self) -> None:
        elapsed = self._clock() - self._started
        if not self._saturated or elapsed <= 0:
            self._restart()
            return
        rate = self._images / elapsed
        if self._rest > 0:
            self._rest -= 1
            self._restart()
        elif rate > _WORTHWHILE * self._proven_rate and self.width < self.maximum:
            before = self.width
            self._step(min(before + 1 + before // _STRIDE, self.maximum), proven_rate=rate, rest=0)
            self._opened = self.width - before
        elif self._proven_rate > 0 and rate <= _WORTHWHILE * self._proven_rate:
            # The last step brought nothing: back, and look again later, from a fresh measurement.
            self._step(max(self.width - self._opened, 1), proven_rate=0.0, rest=_REST)
        else:
            self._restart()

    def _step(self, width: int, *, proven_rate: float, rest: int) -> None:
        self.width = width
        self._proven_rate = proven_rate
        self._rest = rest
        self._restart()

    def _restart(self) -> None:
        self._started = self._clock()
        self._completed = 0
        self._images = 0
        self._saturated = False
