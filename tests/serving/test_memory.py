"""A budget of memory: never more at once than there is, and nobody waits for ever."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from iq_serving.errors import ImageError
from iq_serving.memory import MemoryBudget


def test_no_more_is_held_at_once_than_there_is() -> None:
    budget = MemoryBudget(100)
    lock = threading.Lock()
    held, peaks = [0], []

    def take(size: int) -> int:
        with budget.hold(size):
            with lock:
                held[0] += size
                peaks.append(held[0])
            threading.Event().wait(0.001)
            with lock:
                held[0] -= size
        return size

    sizes = [1, 60, 100, 30, 45, 100, 7] * 6
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(take, sizes)) == sizes
    assert max(peaks) <= 100
    assert len(peaks) == len(sizes)


def test_a_large_one_is_not_passed_by_small_ones_for_ever() -> None:
    budget = MemoryBudget(100)
    order: list[str] = []
    waits = threading.Event()

    def large() -> None:
        waits.set()
        with budget.hold(100):
            order.append("large")

    def small() -> None:
        with budget.hold(10):
            order.append("small")

    with ThreadPoolExecutor(2) as pool:
        with budget.hold(50):
            first = pool.submit(large)
            waits.wait()
            while not budget._turn.locked():  # until it stands first in the queue
                pass
            second = pool.submit(small)
        first.result()
        second.result()
    assert order == ["large", "small"]


def test_what_never_fits_is_refused_at_once() -> None:
    budget = MemoryBudget(100)
    with (
        budget.hold(100),
        pytest.raises(ImageError, match="TOO_LARGE"),
        budget.hold(101),
    ):
        pass


def test_memory_is_given_back_after_an_error() -> None:
    budget = MemoryBudget(100)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), budget.hold(100):
            raise ZeroDivisionError
