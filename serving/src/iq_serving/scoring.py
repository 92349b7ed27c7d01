"""Photos that are scored by the threads that decode them.

A thread that has decoded a file scores it with those decoded before, as soon as they fill a part or
no file waits to be decoded. So decoding and the tower never compete for the cores, no thread waits
for another, and no pixels leave the process.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from .decoding import LOOK_SECONDS, HostDecoder, Task
from .engines import Array, Engine

# Photos that a thread scores as one batch: more of them gain nothing, fewer are slower each.
PART: Final = 4


@dataclass(eq=False, slots=True)
class Photo:
    """A file on its way to its scores.

    Attributes:
        task: Its decoding.
        scores: The row of each of `engines.OUTPUTS`; never set where it cannot be decoded.
    """

    task: Task
    scores: Future[list[Array]] = field(default_factory=Future)


class Scorer:
    """Decodes and scores files on the threads of a decoder."""

    def __init__(self, host: HostDecoder, engine: Engine) -> None:
        """Takes both parts, of as many threads each.

        Args:
            host: Decodes.
            engine: Scores.
        """
        self._host = host
        self._engine = engine
        self._lock = threading.Lock()
        self._ready: list[tuple[Photo, Array]] = []
        self._under_way = 0  # photos that are neither scored nor refused

    def submit(self, file: bytes) -> Photo:
        """Has a file decoded and scored."""
        with self._lock:
            self._under_way += 1
        photo = Photo(self._host.submit(file))
        photo.task.future.add_done_callback(lambda decoded: self._go_on(photo, decoded))
        return photo

    def result(self, photo: Photo) -> list[Array]:
        """Waits for a photo's scores.

        Returns:
            Its row of each of `engines.OUTPUTS`.

        Raises:
            ImageError: As of `Task.result`.
            Exception: The engine's.
        """
        photo.task.result()
        while not wait([photo.scores], LOOK_SECONDS).done:
            self._score(self._part(whole=False))  # files that take long have all threads
        return photo.scores.result()

    def _go_on(self, photo: Photo, decoded: Future[Array]) -> None:
        """The work of a thread that has decoded a file."""
        refused = decoded.cancelled() or decoded.exception() is not None
        with self._lock:
            if refused:
                self._under_way -= 1
            else:
                self._ready.append((photo, decoded.result()))
        self._score(self._part(whole=self._host.waiting > 0))

    def _part(self, *, whole: bool) -> list[tuple[Photo, Array]]:
        """Takes the photos that are to be scored now, none where they are fewer than asked for."""
        with self._lock:
            if whole and len(self._ready) < PART:
                return []
            part, self._ready = self._ready[:PART], self._ready[PART:]
        return part

    def _score(self, part: list[tuple[Photo, Array]]) -> None:
        if not part:
            return
        pixels = np.stack([pixels for _, pixels in part])
        # Where nothing else is under way, the other threads are free to help.
        alone = self._under_way == len(part) < self._engine.threads
        run = self._engine.together if alone else self._engine.apart
        outputs: Sequence[Array] = ()
        failure: BaseException | None = None
        try:
            outputs = run(pixels, np.ones((len(part), 1), np.float32))
        except BaseException as error:
            failure = error
        with self._lock:
            self._under_way -= len(part)
        for row, (photo, _) in enumerate(part):
            if failure is not None:
                photo.scores.set_exception(failure)
            else:
                photo.scores.set_result([values[row] for values in outputs])
