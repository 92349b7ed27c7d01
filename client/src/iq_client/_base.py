"""What the two clients have in common: their options and the engine made from them."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Final

from iq_client.engine import Engine
from iq_client.groups import Fingerprint, fingerprint
from iq_client.inputs import DEFAULT_URL_BYTES, ArrayEncoding, InputOptions
from iq_client.limit import InFlightLimit
from iq_client.protocol import MAX_MESSAGE_BYTES
from iq_client.retry import RetryPolicy
from iq_client.shrink import shrink
from iq_client.transport import TLS, Compression, Transport

URL_VARIABLE: Final = "IQ_URL"
DEFAULT_URL: Final = "localhost:8001"
DEFAULT_BATCH_SIZE: Final = 32
DEFAULT_REQUEST_BYTES: Final = 16 * 2**20


class Fingerprints:
    """Collects the fingerprints of a call's images, which are read once for score and print."""

    def __init__(self) -> None:
        self._prints: dict[int, Fingerprint] = {}

    def add(self, index: int, data: bytes) -> None:
        """Takes the fingerprint of the image at a position of the call."""
        self._prints[index] = fingerprint(data)

    def first(self, count: int) -> list[Fingerprint]:
        """The fingerprints at positions 0…count-1; what could not be read has an empty one."""
        unread = Fingerprint(None, None)
        return [self._prints.get(index, unread) for index in range(count)]


class BaseClient:
    """Options and connection; the subclasses add the calls."""

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
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
        shrink_to: int | None = None,
        array_encoding: ArrayEncoding = "webp",
        allow_urls: bool = False,
        max_url_bytes: int = DEFAULT_URL_BYTES,
        tracing: bool = False,
    ) -> None:
        """Takes the options; the first call connects.

        Args:
            url: The server's gRPC address, `HOST:PORT`; several of them, or `dns:///NAME:PORT`
                for all addresses of a name, are asked in turn, and one that does not answer is
                left out for a while. None takes the variable `IQ_URL` (several with
                spaces between them), else `localhost:8001`.
            batch_size: Images of one request at most; no more than the server allows are sent.
            max_request_bytes: Bytes of one request at most; an image that is larger goes alone.
            in_flight: Requests waiting for their responses at most; None finds out by itself how
                many pay.
            timeout: Seconds for a single try of a request; None for no end.
            deadline: Seconds for a whole call; what is not scored by then comes back with the
                error `TIMEOUT`. None for no end.
            retry: How often and how patiently a request is tried again.
            tls: Certificates; None for a connection in plain text.
            headers: Sent with every request, such as `{"authorization": "Bearer …"}`.
            compression: `gzip` or `deflate` for requests; photos are compressed already, so this
                pays for uncompressed files on slow networks only.
            keepalive: Seconds of silence, while a request is under way, after which a connection
                is probed; None for never.
            shrink_to: Pixels that the longer side of a JPEG is reduced to before it is sent; saves
                bandwidth and costs accuracy. None sends every file as it is.
            array_encoding: How PIL images and arrays are sent, always without loss: `webp`, `png`
                or `tiff` (not compressed, 20 times as quick, for servers that are close).
            allow_urls: Whether `http://` and `https://` addresses are fetched.
            max_url_bytes: A file behind an address may be no larger.
            tracing: Whether calls and requests are OpenTelemetry spans, in whatever the
                application has set up (extra `otel`).

        Raises:
            ImportError: Tracing is wanted and OpenTelemetry is not installed.
            ValueError: A number is out of its range, or no URL is given.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: give 1 or more")
        if not 1 <= max_request_bytes <= MAX_MESSAGE_BYTES:
            raise ValueError(f"max_request_bytes is {max_request_bytes}, not in 1…2 GiB")
        if shrink_to is not None and shrink_to < 1:
            raise ValueError(f"shrink_to is {shrink_to}: give 1 pixel or more, or None")
        for name, seconds in (("timeout", timeout), ("deadline", deadline),
                              ("keepalive", keepalive)):  # fmt: skip
            if seconds is not None and seconds <= 0:
                raise ValueError(f"{name} is {seconds}: give more than 0 seconds, or None")
        if url is None:
            url = os.environ.get(URL_VARIABLE, "").split() or DEFAULT_URL
        urls = [url] if isinstance(url, str) else list(url)
        if not urls:
            raise ValueError("no URL was given: one server at least is needed")
        start_trace = None
        if tracing:
            from iq_client.tracing import CallTrace

            start_trace = CallTrace
        limit = InFlightLimit(in_flight)
        self._deadline = deadline
        self._input_options = InputOptions(
            allow_urls=allow_urls, max_url_bytes=max_url_bytes, array_encoding=array_encoding
        )
        self._transport = Transport(
            urls,
            limit=limit,
            retry=retry,
            timeout=timeout,
            tls=tls,
            headers=headers or {},
            compression=compression,
            keepalive=keepalive,
        )
        self._engine = Engine(
            self._transport,
            limit=limit,
            batch_size=batch_size,
            max_request_bytes=max_request_bytes,
            prepare=functools.partial(shrink, long_side=shrink_to) if shrink_to else None,
            start_trace=start_trace,
        )
        self._connecting = threading.Lock()
        self._connected = False

    @property
    def urls(self) -> list[str]:
        """The servers' addresses."""
        return self._transport.urls

    def _connect(self) -> None:
        """Checks once that a server is there and keeps the contract."""
        with self._connecting:
            if not self._connected:
                config = self._transport.check_model()
                self._engine.batch_size = min(self._engine.batch_size, config.max_batch_size)
                self._connected = True
