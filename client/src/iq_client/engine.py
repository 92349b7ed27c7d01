"""The core of both clients: reads, packs, sends and puts the scores back in order.

Threads rather than an event loop: reading files blocks, and packing megabytes would hold up
whatever else runs on a caller's loop. One worker takes a chunk of sources, reads it, packs it into
requests and waits for their responses. As many workers are at it as requests may be in flight, and
some more, which read ahead.
"""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeAlias

from iq_client.errors import InputError
from iq_client.inputs import Source
from iq_client.limit import InFlightLimit
from iq_client.packing import pack
from iq_client.protocol import BadResponse, decode_response, encode_request
from iq_client.results import ImageError, Score
from iq_client.transport import Call, RequestFailed, Transport

if TYPE_CHECKING:
    from iq_client.tracing import CallTrace

OnData: TypeAlias = Callable[[int, bytes], None]

_READ_AHEAD: Final = 2  # chunks that are read while all requests are in flight


class Engine:
    """Scores chunks of sources; shared by all calls of a client."""

    def __init__(
        self,
        transport: Transport,
        *,
        limit: InFlightLimit,
        batch_size: int,
        max_request_bytes: int,
        prepare: Callable[[bytes], bytes] | None = None,
        start_trace: Callable[[], CallTrace] | None = None,
    ) -> None:
        """Prepares workers, which start on first use.

        Args:
            transport: Where requests go.
            limit: How many requests the transport lets through at once.
            batch_size: Images of a request, and sources of a chunk, at most.
            max_request_bytes: Bytes of a request at most.
            prepare: Applied to the bytes of every image before they are sent.
            start_trace: Starts the span of a call; None for no spans.
        """
        self.transport = transport
        self.batch_size = batch_size
        self._limit = limit
        self._prepare = prepare
        self._start_trace = start_trace
        self._max_request_bytes = max_request_bytes
        self._pool = ThreadPoolExecutor(limit.maximum + _READ_AHEAD, thread_name_prefix="iq-client")
        self._calls: set[Pending] = set()
        self._id = uuid.uuid4().hex[:12]
        self._numbers = itertools.count(1)

    @property
    def window(self) -> int:
        """How many chunks of a call are worked on at once, at the moment."""
        return self._limit.width + _READ_AHEAD

    def close(self) -> None:
        """Cancels what is under way, ends the workers and closes the connections."""
        # After Ctrl-C a call may still be held by the traceback: nobody else ends it.
        for pending in list(self._calls):
            pending.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.transport.close()

    @contextlib.contextmanager
    def call(self, deadline: float | None, on_data: OnData | None = None) -> Iterator[Pending]:
        """One call: what is submitted in it is cancelled when the block ends.

        Args:
            deadline: Seconds for all of it, or None.
            on_data: Called on a worker with the position in the call and the bytes of every image
                that could be read.
        """
        trace = self._start_trace() if self._start_trace is not None else None
        pending = Pending(self, Call(deadline, trace), on_data)
        self._calls.add(pending)
        try:
            yield pending
        finally:
            self._calls.discard(pending)
            pending.cancel()
            if trace is not None:
                trace.end(pending.submitted)

    def submit(
        self, chunk: Sequence[Source], call: Call, on_data: OnData | None = None
    ) -> Future[list[Score]]:
        """Scores a chunk on a worker.

        Args:
            chunk: Sources, not yet read.
            call: The call they belong to.
            on_data: Called with the position in the chunk and the bytes of what was read.

        Returns:
            The future list of one score per source, in order.
        """
        return self._pool.submit(self._score_chunk, chunk, call, on_data)

    def _score_chunk(
        self, chunk: Sequence[Source], call: Call, on_data: OnData | None
    ) -> list[Score]:
        scores: dict[int, Score] = {}

        def read() -> Iterator[tuple[int, bytes]]:
            for index, source in enumerate(chunk):
                try:
                    call.check()
                    data = source.load()
                    if on_data is not None:
                        on_data(index, data)
                    if self._prepare is not None:
                        data = self._prepare(data)
                except (InputError, RequestFailed) as error:
                    failed = Score.failed(source.name, ImageError(error.code, error.message))
                    scores[index] = failed
                else:
                    yield index, data

        for batch in pack(read(), self.batch_size, self._max_request_bytes):
            indices = [index for index, _ in batch]
            names = [chunk[index].name for index in indices]
            found = self._score_batch(names, [data for _, data in batch], call)
            scores.update(zip(indices, found, strict=True))
        return [scores[index] for index in range(len(chunk))]

    def _score_batch(self, names: list[str], images: list[bytes], call: Call) -> list[Score]:
        request = encode_request(images, f"{self._id}-{next(self._numbers)}")
        try:
            return decode_response(self.transport.infer(request, len(images), call), names)
        except RequestFailed as error:
            if error.divisible and len(images) > 1:
                # One image may be what the request failed for: its neighbours are not to pay.
                half = len(images) // 2
                return [
                    *self._score_batch(names[:half], images[:half], call),
                    *self._score_batch(names[half:], images[half:], call),
                ]
            failure = ImageError(error.code, error.message)
        except BadResponse as error:
            failure = ImageError("BAD_RESPONSE", str(error))
        return [Score.failed(name, failure) for name in names]


class Pending:
    """The chunks of one call that are under way, oldest first.

    Attributes:
        submitted: How many sources were submitted so far.
    """

    def __init__(self, engine: Engine, call: Call, on_data: OnData | None) -> None:
        self._engine = engine
        self._call = call
        self._on_data = on_data
        self.submitted = 0
        self._futures: deque[Future[list[Score]]] = deque()

    def __bool__(self) -> bool:
        return bool(self._futures)

    def submit(self, chunk: Sequence[Source]) -> None:
        """Sets a worker on a chunk."""
        first, self.submitted = self.submitted, self.submitted + len(chunk)
        tell, on_data = self._on_data, None
        if tell is not None:

            def on_data(index: int, data: bytes) -> None:
                tell(first + index, data)

        self._futures.append(self._engine.submit(chunk, self._call, on_data))

    @property
    def due(self) -> bool:
        """Whether the oldest chunk is to be taken before another one is submitted."""
        return bool(self._futures) and (
            len(self._futures) >= self._engine.window or self._futures[0].done()
        )

    def pop(self) -> Future[list[Score]]:
        """The oldest chunk's scores."""
        return self._futures.popleft()

    def cancel(self) -> None:
        """Ends everything that nobody took."""
        self._call.cancel()
        for future in list(self._futures):
            future.cancel()


def chunks(sources: Iterable[Source], size: int) -> Iterator[list[Source]]:
    """Neighbours in lists of `size`; the last may be shorter."""
    iterator = iter(sources)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
