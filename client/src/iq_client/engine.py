"""The core of both clients: reads, packs, sends and puts the scores back in order.

Threads rather than an event loop: reading files blocks, and packing megabytes would hold up
whatever else runs on a caller's loop. One worker takes a chunk of sources, reads it, packs it into
batches and waits for their scores. As many workers are at it as requests may be in flight, and some
more, which read ahead.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from iq_client.errors import ConnectError, InputError, RequestFailed
from iq_client.images.source import Source
from iq_client.results import ImageError, Score
from iq_client.wire.call import Call
from iq_client.wire.limit import InFlightLimit
from iq_client.wire.packing import pack
from iq_client.wire.transport import CONTROL_SECONDS, Transport

if TYPE_CHECKING:
    from iq_client.wire.tracing import CallTrace

_CLOSED: Final = "this client was closed: make another one"
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
            transport: Where batches go.
            limit: The gate of the transport; as many chunks are worked on at once.
            batch_size: Images of a batch, and sources of a chunk, at most.
            max_request_bytes: Bytes of a batch at most.
            prepare: Applied to the bytes of every image before they are sent.
            start_trace: Starts the span of a call; None for no spans.
        """
        self._transport = transport
        self.batch_size = batch_size
        self._limit = limit
        self._prepare = prepare
        self._start_trace = start_trace
        self.max_request_bytes = max_request_bytes
        self._pool = ThreadPoolExecutor(limit.maximum + _READ_AHEAD, thread_name_prefix="iq-client")
        self._calls: set[Pending] = set()
        self._connecting = threading.Lock()
        self._connected = False
        self._closed = False
        self._process = os.getpid()

    @property
    def transport(self) -> Transport:
        """The way to the scores.

        Raises:
            ConnectError: The client was closed, or made by the process that this one was forked
                from: its threads and connections did not come along.
        """
        if self._closed:
            raise ConnectError(_CLOSED)
        if os.getpid() != self._process:
            raise ConnectError(
                "this client was made before fork(), and its threads and connections did not come "
                "along: make another one in the child process"
            )
        return self._transport

    @property
    def window(self) -> int:
        """Chunks of a call that are worked on at once, at the moment."""
        return self._limit.width + _READ_AHEAD

    def connect(self) -> None:
        """Makes sure, once, that batches can be scored, and of which size.

        Raises:
            ConnectError: Nobody can be asked, or the client is of no use any more.
            ContractError: The model is not the one that this client was written for.
        """
        transport = self.transport
        with self._connecting:
            if not self._connected:
                # A model of Triton's without batches has the size 0.
                self.batch_size = max(1, min(self.batch_size, transport.check(CONTROL_SECONDS)))
                self._connected = True

    def cancel(self) -> None:
        """Cancels the calls that are under way; any thread may do so."""
        for pending in list(self._calls):
            pending.cancel()

    def close(self) -> None:
        """Cancels what is under way, ends the workers and closes the connections."""
        self._closed = True
        if os.getpid() != self._process:
            return  # they are another process's
        # After Ctrl-C a call may still be held by the traceback: nobody else ends it.
        self.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._transport.close()

    @contextlib.contextmanager
    def call(self, deadline: float | None) -> Iterator[Pending]:
        """One call: what is submitted in it is cancelled when the block ends.

        Args:
            deadline: Seconds for all of it, or None.
        """
        trace = self._start_trace() if self._start_trace is not None else None
        pending = Pending(self, Call(deadline, trace))
        self._calls.add(pending)
        try:
            yield pending
        finally:
            self._calls.discard(pending)
            pending.cancel()
            if trace is not None:
                trace.end(pending.submitted)

    def submit(self, chunk: Sequence[Source], call: Call) -> Future[list[Score]]:
        """Sets a worker on a chunk of a call; gives one score per source, in order.

        Raises:
            ConnectError: The client was closed.
        """
        try:
            return self._pool.submit(self._score_chunk, chunk, call)
        except RuntimeError:
            if self._closed:  # by another thread, in the middle of a call
                raise ConnectError(_CLOSED) from None
            raise

    def _score_chunk(self, chunk: Sequence[Source], call: Call) -> list[Score]:
        scores: dict[int, Score] = {}

        def read() -> Iterator[tuple[int, bytes]]:
            for index, source in enumerate(chunk):
                try:
                    call.check()
                    data = source.load()
                    if self._prepare is not None:
                        data = self._prepare(data)
                except (InputError, RequestFailed) as error:
                    failed = Score.failed(source.name, ImageError(error.code, error.message))
                    scores[index] = failed
                else:
                    yield index, data

        for batch in pack(read(), self.batch_size, self.max_request_bytes):
            indices = [index for index, _ in batch]
            names = [chunk[index].name for index in indices]
            found = self._score_batch([data for _, data in batch], names, call)
            scores.update(zip(indices, found, strict=True))
        return [scores[index] for index in range(len(chunk))]

    def _score_batch(
        self, images: Sequence[bytes], names: Sequence[str], call: Call
    ) -> Sequence[Score]:
        try:
            return self._transport.score(images, names, call)
        except RequestFailed as error:
            if error.divisible and len(images) > 1:
                # One image may be what the request failed for: its neighbours are not to pay.
                half = len(images) // 2
                return [
                    *self._score_batch(images[:half], names[:half], call),
                    *self._score_batch(images[half:], names[half:], call),
                ]
            failure = ImageError(error.code, error.message)
        return [Score.failed(name, failure) for name in names]


class Pending:
    """The chunks of one call that are under way, oldest first.

    Attributes:
        submitted: Count of the sources that were submitted so far.
    """

    def __init__(self, engine: Engine, call: Call) -> None:
        self._engine = engine
        self._call = call
        self.submitted = 0
        self._futures: deque[Future[list[Score]]] = deque()

    def __bool__(self) -> bool:
        return bool(self._futures)

    def submit(self, chunk: Sequence[Source]) -> None:
        """Sets a worker on a chunk."""
        self.submitted += len(chunk)
        self._futures.append(self._engine.submit(chunk, self._call))

    @property
    def due(self) -> bool:
        """True where the oldest chunk is to be taken before another one is submitted."""
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


def chunks(sources: Iterable[Source], size: int, max_bytes: int) -> Iterator[list[Source]]:
    """Neighbours in lists of `size`; shorter at the end, and where large files fill a request.

    A worker sends what it has read request by request: of a list that needs several, one would wait
    for the other while the server has nothing to do.
    """
    chunk: list[Source] = []
    filled = 0
    for source in sources:
        length = _bytes_of(source)
        if chunk and filled + length > max_bytes:
            yield chunk
            chunk, filled = [], 0
        chunk.append(source)
        filled += length
        if len(chunk) == size:
            yield chunk
            chunk, filled = [], 0
    if chunk:
        yield chunk


def _bytes_of(source: Source) -> int:
    """The size of a file; 0 where it is none, or is not there."""
    if not source.is_file:
        return 0
    try:
        return os.stat(source.name).st_size  # noqa: PTH116  half the time of Path.stat
    except (OSError, ValueError):
        return 0
