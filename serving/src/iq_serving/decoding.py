"""Threads that decode files side by side, within one budget of memory and each in a limited time.

A file that takes too long is given up: the decoder is refused more of its bytes, and who waits for
it is told so even where the decoder does not ask for any. Its thread is free again when the decoder
ends, which the limit of pixels sees to. Until then it can be set aside: another thread takes the
place of its own, and the files behind it go on.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from .contract import Limits
from .memory import Budget, MemoryBudget
from .preprocessing import load_pixels, too_slow

LOOK_SECONDS: Final = 0.5  # how often a file that takes long is looked after
_SLOW_SECONDS: Final = 2.0  # after which a file may be set aside
_MOST_ASIDE: Final = 16  # files at once

# The server's process is ours: `Limits` decides what is too large, and Pillow's limit would do so
# again within some formats.
Image.MAX_IMAGE_PIXELS = None


class Task:
    """A file that is being decoded.

    It is the budget of its own decoding as well: its time begins when its memory is granted.
    """

    def __init__(self, file: bytes, budget: Budget, seconds: float) -> None:
        self.file = file
        self.future: Future[npt.NDArray[np.uint8]] = Future()
        self.begun: float | None = None
        self.aside = False
        self._budget = budget
        self._seconds = seconds
        self._end: float | None = None

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
        while not wait([self.future], LOOK_SECONDS).done:
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
        self.threads = threads
        self._budget = budget or MemoryBudget()
        lock = threading.Lock()
        self._changed = threading.Condition(lock)
        self._taken = threading.Condition(lock)
        self._waiting: deque[Task] = deque()
        self._aside = 0
        self._closed = False
        for _ in range(threads):
            self._start_thread()

    def submit(self, file: bytes) -> Task:
        """Has a file decoded.

        Returns:
            The task; its result are pixels, uint8 [H,W,3].
        """
        task = Task(file, self._budget, self.limits.max_seconds)
        with self._changed:
            self._waiting.append(task)
            self._changed.notify()
        return task

    @property
    def waiting(self) -> int:
        """Files that no thread has taken yet."""
        return len(self._waiting)

    def wait_for_room(self) -> None:
        """Waits until fewer files wait than there are threads."""
        with self._taken:
            self._taken.wait_for(lambda: len(self._waiting) < self.threads)

    def set_aside(self, task: Task) -> bool:
        """Lets those that wait pass a file that takes long, where not too many are passed already.

        Returns:
            True where nobody has to wait for this file, which may be done by now.
        """
        with self._changed:
            if task.future.done() or task.aside:
                return True
            slow = task.begun is not None and time.monotonic() - task.begun > _SLOW_SECONDS
            if slow and self._aside < _MOST_ASIDE:
                task.aside = True
                self._aside += 1
                self._start_thread()
            return task.aside

    def close(self) -> None:
        """Ends the threads, and what has not begun."""
        with self._changed:
            self._closed = True
            for task in self._waiting:
                task.future.cancel()
            self._changed.notify_all()

    def _start_thread(self) -> None:
        threading.Thread(target=self._work, name="decode", daemon=True).start()

    def _work(self) -> None:
        """Decodes one file after another, until another thread has taken this one's place."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._waiting)
                if self._closed:
                    return
                task = self._waiting.popleft()
                self._taken.notify()
                task.begun = time.monotonic()
            try:
                pixels = load_pixels(
                    task.file,
                    image_size=self.image_size,
                    interpolation=self.interpolation,
                    limits=self.limits,
                    budget=task,
                )
            except BaseException as error:
                task.future.set_exception(error)
            else:
                task.future.set_result(pixels)
            with self._changed:
                if task.aside:
                    self._aside -= 1
                    return
