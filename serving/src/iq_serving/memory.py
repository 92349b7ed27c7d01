"""A budget of memory that all decoding threads of a process share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

from .errors import ImageError
from .machine import memory_limit

# Of the memory that the process may use; the rest is the server's, the tower's and the files'.
SHARE: Final = 0.5


class Budget(Protocol):
    """Whoever grants memory."""

    def hold(self, size: int, /) -> AbstractContextManager[None]:
        """Takes so many bytes for a while, and may wait for them."""


class MemoryBudget:
    """Bytes that may be taken at once; who needs more than is left waits for the others.

    Who comes first is served first, so that a large picture waits for those before it only.
    """

    def __init__(self, total: int | None = None) -> None:
        """Takes the whole.

        Args:
            total: Bytes; None for half of the memory that this process may use.
        """
        self.total = round(SHARE * memory_limit()) if total is None else total
        self._used = 0
        self._turn = threading.Lock()
        self._freed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Waits until so many bytes are left, and takes them for a while.

        Args:
            size: Bytes.

        Raises:
            ImageError: `TOO_LARGE`, at once: the whole budget is not enough.
        """
        if size > self.total:
            raise ImageError(
                "TOO_LARGE",
                f"decoding takes about {size >> 20} MiB of memory, more than the "
                f"{self.total >> 20} MiB that this server gives to it",
            )
        with self._turn, self._freed:
            self._freed.wait_for(lambda: self._used + size <= self.total)
            self._used += size
        try:
            yield
        finally:
            with self._freed:
                self._used -= size
                self._freed.notify()
