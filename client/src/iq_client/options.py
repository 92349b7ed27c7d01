"""Options of both clients, and the engine made from them."""

from __future__ import annotations

import functools
import os
import types
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from iq_client.engine import Engine
from iq_client.errors import ConnectError
from iq_client.images.encode import ArrayEncoding, shrink
from iq_client.images.inputs import DEFAULT_URL_BYTES, InputOptions
from iq_client.wire.channel import TLS, Compression
from iq_client.wire.limit import InFlightLimit
from iq_client.wire.protocol import MAX_MESSAGE_BYTES, MODEL_NAME
from iq_client.wire.retry import RetryPolicy
from iq_client.wire.transport import GrpcTransport, Token, Transport

URL_VARIABLE: Final = "IQ_URL"
DEFAULT_URL: Final = "localhost:8001"
_SERVERS_OF_A_NAME: Final = 4
DEFAULT_BATCH_SIZE: Final = 32
DEFAULT_REQUEST_BYTES: Final = 16 * 2**20


class BaseClient:
    """Options and engine; the subclasses add the calls."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if cls.__init__ is BaseClient.__init__:
            # Python reports a mistyped option with the function's name: that of the class in use.
            renamed = _renamed(BaseClient.__init__, f"{cls.__name__}.__init__")
            cls.__init__ = renamed  # type: ignore[method-assign]

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        *,
        model: str = MODEL_NAME,
        version: str | int | None = None,
        transport: Transport | None = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
        max_request_bytes: int = DEFAULT_REQUEST_BYTES,
        in_flight: int | None = None,
        timeout: float | None = 60.0,
        deadline: float | None = None,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008  frozen
        tls: TLS | None = None,
        headers: Mapping[str, str] | None = None,
        token: Token | None = None,
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
            model: The ensemble that is asked: a server may have several.
            version: Its version; None for the one that the server prefers.
            transport: Scores the batches instead of a server, in tests or over another protocol;
                the options of the connection (`model`, `version`, `timeout`, `retry`, `tls`,
                `headers`, `token`, `compression`, `keepalive`) are then without effect. None for
                gRPC to `url`.
            batch_size: Images of one request at most; no more than the server allows are sent.
            max_request_bytes: Bytes of one request at most; an image that is larger goes alone.
            in_flight: Requests waiting for their responses at most; None finds out by itself how
                many pay.
            timeout: Seconds for a single try of a request; None for no end.
            deadline: Seconds for a whole call; what is not scored by then comes back with the
                error `TIMEOUT`. None for no end.
            retry: Patience with a request that fails.
            tls: Certificates; None for a connection in plain text.
            headers: Sent with every request, such as `{"authorization": "Bearer …"}`.
            token: Sent with every request as `authorization: Bearer …`; a function is asked for it
                each time, from several threads, so that it may change.
            compression: `gzip` or `deflate` for requests; photos are compressed already, so this
                pays for uncompressed files on slow networks only.
            keepalive: Seconds of silence, while a request is under way, after which a connection
                is probed; None for never.
            shrink_to: Pixels that the longer side of a JPEG is reduced to before it is sent; saves
                bandwidth and costs accuracy. None sends every file as it is.
            array_encoding: Format of PIL images and arrays, always without loss: `webp`, `png` or
                `tiff` (not compressed, 20 times as quick, for servers that are close).
            allow_urls: Whether `http://` and `https://` addresses are fetched.
            max_url_bytes: A file behind an address may be no larger.
            tracing: Whether calls and requests are OpenTelemetry spans, in whatever the
                application has set up (extra `otel`).

        Raises:
            ImportError: Tracing is wanted and OpenTelemetry is not installed.
            OSError: A file of `tls` cannot be read.
            ConnectError: A URL is one of HTTP.
            ValueError: A number is out of its range, no URL is given, or a transport as well.
        """
        # First of all, while there is nothing else: what `with_options` starts from.
        self._options = {name: value for name, value in locals().items() if name != "self"}
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
        if token is not None and "authorization" in map(str.lower, headers or {}):
            raise ValueError("a token and a header `authorization` were given: give one of them")
        start_trace = None
        if tracing:
            from iq_client.wire.tracing import CallTrace

            start_trace = CallTrace
        self._urls = _addresses(url, transport)
        limit = InFlightLimit(in_flight, servers=max(sum(map(_servers_of, self._urls)), 1))
        self._deadline = deadline
        self._input_options = InputOptions(
            allow_urls=allow_urls, max_url_bytes=max_url_bytes, array_encoding=array_encoding
        )
        if transport is None:
            transport = GrpcTransport(
                self._urls,
                model=model,
                version="" if version is None else str(version),
                limit=limit,
                retry=retry,
                timeout=timeout,
                tls=tls,
                headers=headers or {},
                token=token,
                compression=compression,
                keepalive=keepalive,
            )
        self._engine = Engine(
            transport,
            limit=limit,
            batch_size=batch_size,
            max_request_bytes=max_request_bytes,
            prepare=functools.partial(shrink, long_side=shrink_to) if shrink_to else None,
            start_trace=start_trace,
        )

    def with_options(self, **changes: Any) -> Self:
        """A client of its own with these options changed and all others as they are here.

        Args:
            changes: Options of the class, such as `deadline=5` or `model="aesthetic"`.

        Returns:
            The other client, which is to be closed as well. A `transport` that was given is shared,
            and closed with the first of them.

        Raises:
            TypeError: There is no such option.
            ValueError: As when a client is made.
        """
        return type(self)(**{**self._options, **changes})

    @property
    def urls(self) -> list[str]:
        """The servers' addresses; none where a transport was given."""
        return list(self._urls)

    def _cancel(self) -> None:
        """Ends the calls that are under way, from another thread than theirs; for the command line.

        Images that have no score yet get one with the error `CANCELLED`, or their call raises
        `concurrent.futures.CancelledError`. The client can be used again.
        """
        self._engine.cancel()


def _servers_of(url: str) -> int:
    """The servers behind an address, as far as it tells: a name may stand for several."""
    return _SERVERS_OF_A_NAME if url.startswith("dns:") else 1


def _addresses(url: str | Sequence[str] | None, transport: Transport | None) -> list[str]:
    if transport is not None:
        if url is not None:
            raise ValueError("a URL and a transport were given: give the one that scores come from")
        return []
    if url is None:
        url = os.environ.get(URL_VARIABLE, "").split() or DEFAULT_URL
    urls = [url] if isinstance(url, str) else list(url)
    if not urls:
        raise ValueError("no URL was given: one server at least is needed")
    for each in urls:
        scheme, _, rest = each.partition("://")
        if scheme.lower() in ("http", "https"):
            host = rest.partition("/")[0].partition(":")[0]
            raise ConnectError(
                f"{each} is an address of HTTP: give that of gRPC, HOST:PORT, such as {host}:8001"
            )
    return urls


def _renamed(function: Any, name: str) -> Any:
    """A copy of a function under another qualified name."""
    copy = types.FunctionType(function.__code__, function.__globals__, function.__name__,
                              function.__defaults__, function.__closure__)  # fmt: skip
    functools.update_wrapper(copy, function)
    del copy.__wrapped__  # type: ignore[attr-defined]
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__ = name
    return copy
