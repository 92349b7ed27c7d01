"""Files that are decoded side by side do not hold up, or starve, one another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.serving.files import encoded, photo

from iq_serving import decoding
from iq_serving.contract import Limits
from iq_serving.decoding import HostDecoder
from iq_serving.errors import ImageError
from iq_serving.memory import MemoryBudget
from iq_serving.preprocessing import load_pixels

SIZE = (40, 60)
GOOD = encoded(photo(), "JPEG")


def decoder(**changes: Any) -> HostDecoder:
    options: dict[str, Any] = {
        "image_size": SIZE, "interpolation": "bilinear", "limits": Limits(), "threads": 2,
    }  # fmt: skip
    return HostDecoder(**(options | changes))


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A decoder that does not come back for `b"stuck"` before the event is set."""
    event = threading.Event()

    def load(data: bytes, *, budget: Any, **options: Any) -> Any:
        if data == b"stuck":
            with budget.hold(1):
                event.wait()
        return load_pixels(data, budget=budget, **options)

    monkeypatch.setattr(decoding, "load_pixels", load)
    yield event
    event.set()


def test_a_file_that_never_ends_is_answered_without_its_neighbours(stuck: threading.Event) -> None:
    with closing(decoder(limits=Limits(max_seconds=0.2))) as host:
        tasks = [host.submit(file) for file in (GOOD, b"stuck", GOOD)]
        expected = load_pixels(GOOD, image_size=SIZE)
        np.testing.assert_array_equal(tasks[0].result(), expected)
        with pytest.raises(ImageError, match=r"TOO_LARGE.*seconds"):
            tasks[1].result()
        np.testing.assert_array_equal(tasks[2].result(), expected)
        assert not stuck.is_set()
        stuck.set()


def test_decoding_ends_when_its_time_is_over() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    for kind in ("JPEG", "PNG", "BMP", "PPM", "GIF"):
        options = {"progressive": True} if kind == "JPEG" else {}
        data = encoded(Image.fromarray(noise), kind, **options)
        assert len(data) > 65_536
        with pytest.raises(ImageError, match=r"TOO_LARGE.*seconds"):
            load_pixels(data, image_size=SIZE, limits=Limits(max_seconds=-1))
        assert load_pixels(data, image_size=SIZE).shape == (*SIZE, 3)


def test_waiting_for_memory_takes_none_of_the_time(stuck: threading.Event) -> None:
    budget = MemoryBudget(100 * 2**20)
    with closing(decoder(budget=budget, limits=Limits(max_seconds=60))) as host:
        with budget.hold(budget.total):
            task = host.submit(GOOD)
            assert task._end is None
        assert task.result().shape == (*SIZE, 3)
        assert task._end is not None
    assert not stuck.is_set()


def test_more_than_the_budget_is_an_error_of_that_file_alone() -> None:
    large = encoded(photo(2000, 2000))
    with closing(decoder(budget=MemoryBudget(10 * 2**20))) as host:
        tasks = [host.submit(file) for file in (large, GOOD)]
        with pytest.raises(ImageError, match=r"TOO_LARGE.*memory"):
            tasks[0].result()
        assert tasks[1].result().shape == (*SIZE, 3)


def test_a_file_that_is_set_aside_holds_nobody_up(
    stuck: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "_MOST_ASIDE", 2)
    with closing(decoder(threads=1)) as host:
        tasks = [host.submit(file) for file in (b"stuck", b"stuck", b"stuck", GOOD)]
        assert not host.set_aside(tasks[0])  # not yet
        monkeypatch.setattr(decoding, "_SLOW_SECONDS", 0.0)
        for task in tasks[:2]:
            while not host.set_aside(task):
                pass
        while tasks[2].begun is None:
            pass
        assert not host.set_aside(tasks[2])  # two are the most
        assert not tasks[3].future.done()
        stuck.set()
        assert tasks[3].result().shape == (*SIZE, 3)
        for task in tasks[:3]:
            with pytest.raises(ImageError, match="UNREADABLE"):
                task.result()
        assert all(host.set_aside(task) for task in tasks)  # done
        assert host.submit(GOOD).result().shape == (*SIZE, 3)
