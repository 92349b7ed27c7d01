"""Threads that decode files side by side, within one budget of memory and each in a limited time.

A file that takes too long is given up: the decoder is refused more of its bytes, and who waits for
it is told so even where the decoder does not ask for any. Its thread is free again when the decoder
ends, which the limit of pixels sees to.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Final

import numpy as np
import numpy.typing as npt

from .contract import Limits
from .memory import Budget, MemoryBudget
from .preprocessing import load_pixels, too_slow

_LOOK_SECONDS: Final = 0.5  # how often a file that takes long is looked after


class Task:
    """A file that is being decoded.

    It is the budget of its own decoding as well: its time begins when its memory is granted.
    """

    def __init__(self, budget: Budget, seconds: float) -> None:
        self._budget = budget
        self._seconds = seconds
        self._end: float | None = None
        self.future: Future[npt.NDArray[np.uint8]]

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Takes memory, then starts the clock."""
        with self._budget.hold(size):
            self._end = time.monotonic() + self._seconds
            yield

    def result(self) -> npt.NDArray[np.uint8]:
        """Waits for the pixels.

        Raises:
            ImageError: Of the file, or `TOO_LARGE` where it takes too long.
        """
        while not wait([self.future], _LOOK_SECONDS).done:
            if self._end is not None and time.monotonic() > self._end:
                raise too_slow(self._seconds)
        return self.future.result()


class HostDecoder:
    """Decodes files on the host's cores."""

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        interpolation: str,
        limits: Limits,
        threads: int,
        budget: Budget | None = None,
    ) -> None:
        """Starts the threads.

        Args:
            image_size: Height and width of the results.
            interpolation: `bilinear` or `nearest`.
            limits: Larger and slower files are refused.
            threads: Number of files that are decoded at once.
            budget: Memory of all of them; None for half of what this process may use.
        """
        self.image_size = image_size
        self.interpolation = interpolation
        self.limits = limits
        self._budget = budget or MemoryBudget()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    @property
    def pool(self) -> Executor:
        """The threads."""
        return self._pool

    def submit(self, file: bytes) -> Task:
        """Has a file decoded.

        Returns:
            The task; its result are pixels, uint8 [H,W,3].
        """
        task = Task(self._budget, self.limits.max_seconds)
        task.future = self._pool.submit(
            load_pixels,
            file,
            image_size=self.image_size,
            interpolation=self.interpolation,
            limits=self.limits,
            budget=task,
        )
        return task

    def close(self) -> None:
        """Ends the threads, and what has not begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)
