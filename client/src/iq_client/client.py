"""The synchronous client."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from iq_client.engine import Engine, chunks
from iq_client.errors import ScoringError
from iq_client.inputs import Input, Inputs, expand
from iq_client.ranking import RankKey, probability_better, rank
from iq_client.results import RankedImage, Score, ServerInfo
from iq_client.retry import RetryPolicy
from iq_client.transport import TLS, Compression, Transport

DEFAULT_URL: Final = "localhost:8001"
DEFAULT_BATCH_SIZE: Final = 32
DEFAULT_REQUEST_BYTES: Final = 16 * 2**20
DEFAULT_IN_FLIGHT: Final = 4


class Client:
    """Scores and ranks images on a server."""

    def __init__(
        self,
        url: str | Sequence[str] = DEFAULT_URL,
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        max_request_bytes: int = DEFAULT_REQUEST_BYTES,
        in_flight: int | None = None,
        timeout: float | None = 60.0,
        deadline: float | None = None,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008  frozen
        tls: TLS | None = None,
        headers: Mapping[str, str] | None = None,
        compression: Compression | None = None,
        keepalive: float | None = 30.0,
    ) -> None:
        self._deadline = deadline
        self._connect_lock = threading.Lock()
        self._connected = False
        self._engine = Engine(
            Transport(
                [url] if isinstance(url, str) else list(url),
                retry=retry,
                timeout=timeout,
                tls=tls,
                headers=headers or {},
                compression=compression,
                keepalive=keepalive,
            ),
            batch_size=batch_size,
            max_request_bytes=max_request_bytes,
            in_flight=in_flight or DEFAULT_IN_FLIGHT,
        )

    def connect(self) -> None:
        """Checks that a server is there and keeps the contract; calls do so themselves."""
        with self._connect_lock:
            if not self._connected:
                config = self._engine.transport.check_model()
                self._engine.batch_size = min(self._engine.batch_size, config.max_batch_size)
                self._connected = True

    def score_images(
        self,
        images: Inputs,
        *,
        on_score: Callable[[Score], None] | None = None,
        raise_on_error: bool = False,
    ) -> list[Score]:
        """Scores images; one score each, in the order given."""
        scores = []
        for score in self.iter_scores(images):
            if raise_on_error and not score.ok:
                raise ScoringError(score)
            if on_score is not None:
                on_score(score)
            scores.append(score)
        return scores

    def iter_scores(self, images: Inputs) -> Iterator[Score]:
        """Scores images as they come, in the order given, in bounded memory."""
        self.connect()
        with self._engine.call(self._deadline) as pending:
            for chunk in chunks(expand(images), self._engine.batch_size):
                pending.submit(chunk)
                while pending.due:
                    yield from pending.pop().result()
            while pending:
                yield from pending.pop().result()

    def rank_images(
        self, images: Inputs, *, top: int | None = None, key: RankKey = "mean"
    ) -> list[RankedImage]:
        """Scores images and puts them in order, best first, failed ones last."""
        return rank(self.iter_scores(images), top=top, key=key)

    def compare(self, a: Input, b: Input) -> float:
        """The probability that `a` is better than `b`."""
        first, second = self.score_images([a, b], raise_on_error=True)
        return probability_better(first, second)

    def server_info(self) -> ServerInfo:
        """What the server says of itself and its model."""
        return self._engine.transport.server_info()

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Waits until the server has its model loaded."""
        self._engine.transport.wait_until_ready(timeout)

    def close(self) -> None:
        """Ends the connections."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
