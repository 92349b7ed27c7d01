"""The rate of a piece of work: how much of it is done in a second."""

from __future__ import annotations

import time
from collections.abc import Callable


def rate(work: Callable[[], int], seconds: float) -> float:
    """Repeats work for a while, after once to warm up.

    Args:
        work: Returns how much it has done.
        seconds: For how long at least; it is done once in any case.

    Returns:
        How much is done in a second.
    """
    work()
    done = 0
    start = time.perf_counter()
    while True:
        done += work()
        elapsed = time.perf_counter() - start
        if elapsed >= seconds:
            return done / elapsed
