"""Photos that are scored by the threads that decode them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from tests.serving.files import encoded, photo

from iq_serving import decoding
from iq_serving.contract import Limits
from iq_serving.decoding import HostDecoder
from iq_serving.engines import Array, Engine
from iq_serving.errors import ImageError
from iq_serving.preprocessing import load_pixels
from iq_serving.scoring import PART, Scorer

SIZE = (40, 60)
FILES = [encoded(photo(100 + number, 80), "JPEG") for number in range(2 * PART + 1)]
TOGETHER, APART = "together", "apart"


class Calls:
    """An engine whose scores are sums of pixels; notes how it is called."""

    def __init__(self, threads: int) -> None:
        self.noted: list[tuple[str, int]] = []
        self.engine = Engine(self._run(TOGETHER), self._run(APART), threads)

    def _run(self, way: str) -> Any:
        def run(pixels: Array, mask: Array) -> Sequence[Array]:
            assert mask.shape == (len(pixels), 1)
            self.noted.append((way, len(pixels)))
            return [scores(pixels), np.zeros((len(pixels), 1), np.float32)]

        return run


def scores(pixels: Array) -> Array:
    """A row for each photo."""
    sums: Array = pixels.reshape(len(pixels), -1).sum(1, dtype=np.float64)
    return sums[:, np.newaxis]


def expected(file: bytes) -> float:
    """The score of a photo by itself."""
    return float(scores(load_pixels(file, image_size=SIZE)[np.newaxis])[0, 0])


def decoder(threads: int) -> HostDecoder:
    return HostDecoder(image_size=SIZE, interpolation="bilinear", limits=Limits(), threads=threads)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Files that begin with `wait` are decoded when the event is set."""
    event = threading.Event()

    def load(data: bytes, **options: Any) -> Any:
        if data.startswith(b"wait"):
            event.wait()
        return load_pixels(data.removeprefix(b"wait"), **options)

    monkeypatch.setattr(decoding, "load_pixels", load)
    yield event
    event.set()


def test_every_photo_gets_its_own_scores_and_an_unreadable_one_none() -> None:
    calls = Calls(threads=2)
    assert len({expected(file) for file in FILES}) == len(FILES)
    with closing(decoder(2)) as host:
        scorer = Scorer(host, calls.engine)
        photos = [scorer.submit(file) for file in (b"", *FILES, b"rubbish")]
        for broken in (photos[0], photos[-1]):
            with pytest.raises(ImageError):
                scorer.result(broken)
        found = [float(scorer.result(photo)[0][0]) for photo in photos[1:-1]]
    assert found == [expected(file) for file in FILES]
    assert sum(size for _, size in calls.noted) == len(FILES)


def test_photos_that_wait_are_scored_in_whole_parts(gate: threading.Event) -> None:
    calls = Calls(threads=1)
    with closing(decoder(1)) as host:
        scorer = Scorer(host, calls.engine)
        photos = [scorer.submit(b"wait" + file) for file in FILES]
        gate.set()
        for photo in photos:
            scorer.result(photo)
    assert calls.noted == [(APART, PART), (APART, PART), (APART, 1)]


def test_a_lone_photo_has_all_threads_and_others_share_them(gate: threading.Event) -> None:
    calls = Calls(threads=3)
    with closing(decoder(3)) as host:
        scorer = Scorer(host, calls.engine)
        scorer.result(scorer.submit(FILES[0]))
        assert calls.noted == [(TOGETHER, 1)]
        held = scorer.submit(b"wait" + FILES[1])
        scorer.result(scorer.submit(FILES[2]))
        assert calls.noted[1:] == [(APART, 1)]
        gate.set()
        scorer.result(held)
        assert calls.noted[2:] == [(TOGETHER, 1)]


def test_a_decoded_photo_is_scored_although_all_threads_are_held_up(gate: threading.Event) -> None:
    calls = Calls(threads=1)
    with closing(decoder(1)) as host:
        scorer = Scorer(host, calls.engine)
        first = scorer.submit(b"wait" + FILES[0])
        decoded, held, behind = (
            scorer.submit(file) for file in (FILES[1], b"wait" + FILES[2], FILES[3])
        )
        while first.task.begun is None:
            pass
        with host._changed:  # nobody takes a file while the gate is open
            gate.set()
            first.task.future.result()
            gate.clear()
        assert float(scorer.result(decoded)[0][0]) == expected(FILES[1])
        assert not held.task.future.done()
        assert not behind.task.future.done()
        gate.set()
        scorer.result(held)
        scorer.result(behind)


def test_an_error_of_the_engine_reaches_everyone_who_waits() -> None:
    def fail(pixels: Array, mask: Array) -> Sequence[Array]:
        raise RuntimeError("out of order")

    with closing(decoder(1)) as host:
        scorer = Scorer(host, Engine(fail, fail, 1))
        photos = [scorer.submit(file) for file in FILES[:3]]
        for photo in photos:
            with pytest.raises(RuntimeError, match="out of order"):
                scorer.result(photo)


def test_room_is_made_when_a_file_is_taken(gate: threading.Event) -> None:
    with closing(decoder(1)) as host:
        scorer = Scorer(host, Calls(threads=1).engine)
        photos = [scorer.submit(b"wait" + file) for file in FILES[:3]]
        waiting = threading.Thread(target=host.wait_for_room)
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()  # two wait for the one thread
        gate.set()
        waiting.join()
        for photo in photos:
            scorer.result(photo)
