"""Requests to one or several servers: channels, retries, and which replica is asked next."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from iq_client.errors import (
    AccessDenied,
    ConnectError,
    ContractError,
    DeadlineExceeded,
    IQClientError,
    NotReadyError,
    ServerUnavailable,
)
from iq_client.limit import InFlightLimit
from iq_client.protocol import INFER_METHOD, MODEL_NAME, check_contract
from iq_client.results import ServerInfo
from iq_client.retry import RetryPolicy

if TYPE_CHECKING:
    import grpc
    from tritonclient.grpc import model_config_pb2, service_pb2

    from iq_client.tracing import CallTrace

Compression: TypeAlias = Literal["gzip", "deflate"]
Metadata: TypeAlias = tuple[tuple[str, str], ...]

# A replica that failed is left out for this long, doubled with every further failure.
_EJECTION_SECONDS: Final = 0.5
_MAX_EJECTION_SECONDS: Final = 10.0
_CONTROL_TIMEOUT: Final = 10.0  # of requests that ask for no score
_POLL_SECONDS: Final = 0.1

_START_HINT: Final = (
    "Start one with `iq-client serve`, or in Python with LocalServer(); if it runs elsewhere give "
    "its gRPC address (port 8001 by default, not HTTP's 8000)."
)


@dataclass(frozen=True, slots=True)
class TLS:
    """How the connection is secured.

    Attributes:
        ca: PEM certificates that sign the server's; None for the system's.
        certificate: PEM certificate chain of this client, for mTLS.
        key: PEM private key belonging to `certificate`.
        server_name: Name in the server's certificate, where it is not the host of the URL.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("mTLS needs both: the client's certificate and its key")


class RequestFailed(IQClientError):  # noqa: N818  one request's end, seen by the engine alone
    """A request that brought no response, after all its tries.

    Attributes:
        code: The gRPC status' name, such as `UNAVAILABLE`, or `TIMEOUT` and `CANCELLED` where the
            caller's deadline or cancellation ended it.
        message: What the server or gRPC says.
        divisible: Whether a part of the batch may succeed by itself.
    """

    def __init__(self, code: str, message: str, *, divisible: bool = False) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.divisible = divisible


class Call:
    """One call of the caller: its deadline, and the requests to cancel when it ends early."""

    def __init__(self, deadline: float | None, trace: CallTrace | None = None) -> None:
        """Starts the clock.

        Args:
            deadline: Seconds for the whole call, or None.
            trace: The call's span, or None.
        """
        self.trace = trace
        self._end = None if deadline is None else time.monotonic() + deadline
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._requests: set[grpc.Future] = set()

    def remaining(self, limit: float | None = None) -> float | None:
        """Seconds that are left, no more than `limit`; None for no end."""
        if self._end is None:
            return limit
        left = max(self._end - time.monotonic(), 0.0)
        return left if limit is None else min(left, limit)

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the results any more."""
        return self._cancelled.is_set()

    def check(self) -> None:
        """Raises `RequestFailed` where the call was cancelled or its time is up."""
        if self.cancelled:
            raise RequestFailed("CANCELLED", "the call was ended by its caller")
        if self.remaining() == 0.0:
            raise RequestFailed("TIMEOUT", "the deadline of the whole call passed")

    def sleep(self, seconds: float) -> None:
        """Waits, but no longer than the call lasts."""
        self._cancelled.wait(self.remaining(seconds))

    def wait_for(self, request: grpc.Future) -> Any:
        """The response to a request that is cancelled together with this call."""
        with self._lock:
            self._requests.add(request)
        try:
            if self.cancelled:
                request.cancel()
            return request.result()
        finally:
            with self._lock:
                self._requests.discard(request)

    def cancel(self) -> None:
        """Ends everything that is still under way."""
        self._cancelled.set()
        with self._lock:
            requests = list(self._requests)
        for request in requests:
            request.cancel()


class _Replica:
    """One server: its channel and whether it answered lately."""

    def __init__(self, url: str, channel: grpc.Channel) -> None:
        from tritonclient.grpc import service_pb2, service_pb2_grpc

        self.url = url
        self.channel = channel
        self.stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        # Requests come serialised.
        self.infer: grpc.UnaryUnaryMultiCallable = channel.unary_unary(
            INFER_METHOD, response_deserializer=service_pb2.ModelInferResponse.FromString
        )
        self.failures = 0
        self.ejected_until = 0.0


class Transport:
    """Sends requests to the replicas in turn."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        limit: InFlightLimit,
        retry: RetryPolicy,
        timeout: float | None,
        tls: TLS | None,
        headers: Mapping[str, str],
        compression: Compression | None,
        keepalive: float | None,
    ) -> None:
        """Opens channels, which connect on first use.

        Args:
            urls: Addresses, `HOST:PORT` or `dns:///NAME:PORT`.
            limit: How many requests may be in flight.
            retry: When a request is tried again.
            timeout: Seconds for a single try, or None.
            tls: Certificates, or None for plain text.
            headers: Sent with every request.
            compression: Of requests, or None.
            keepalive: Seconds of silence, while a request is under way, after which the connection
                is probed; None for never.
        """
        import grpc

        self._limit = limit
        self._retry = retry
        self._timeout = timeout
        self._metadata = tuple((name.lower(), value) for name, value in headers.items())
        self._compression = {
            None: grpc.Compression.NoCompression,
            "gzip": grpc.Compression.Gzip,
            "deflate": grpc.Compression.Deflate,
        }[compression]
        self._replicas = [_Replica(url, _open_channel(url, tls, keepalive)) for url in urls]
        self._lock = threading.Lock()
        self._next = 0
        self._random = random.Random()
        # Set when a request used up its tries because nobody answered: the ones behind it then
        # fail after one try each instead of waiting as long again.
        self._down = False

    @property
    def urls(self) -> list[str]:
        """The replicas' addresses."""
        return [replica.url for replica in self._replicas]

    def close(self) -> None:
        """Closes the channels."""
        for replica in self._replicas:
            replica.channel.close()

    def infer(self, request: bytes, images: int, call: Call) -> service_pb2.ModelInferResponse:
        """The response to a request, from whichever replica answers.

        Args:
            request: What to send, serialised.
            images: How many images are in it.
            call: The caller's call, for its deadline and cancellation.

        Returns:
            The first response.

        Raises:
            RequestFailed: Every try failed, the call's time is up, or it was cancelled.
        """
        if call.trace is None:
            return self._infer(request, images, call, self._metadata)
        with call.trace.request(images, len(request)) as headers:
            return self._infer(request, images, call, (*self._metadata, *headers))

    def _infer(
        self, request: bytes, images: int, call: Call, metadata: Metadata
    ) -> service_pb2.ModelInferResponse:
        delays = self._retry.delays(self._random)
        tries = timeouts = 0
        while True:
            call.check()
            replica = self._pick()
            tries += 1
            try:
                response = self._try(replica, request, images, call, metadata)
            except RequestFailed as error:
                call.check()  # where the call is over, that is the reason
                failure = error
            else:
                self._answered(replica)
                return response
            if failure.code == "UNAVAILABLE":
                self._eject(replica)
            else:
                self._answered(replica)
            if failure.code == "DEADLINE_EXCEEDED":
                timeouts += 1
                again = timeouts < self._retry.timeouts
            else:
                again = failure.code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED") and (
                    not failure.divisible
                )
            if not again or tries >= self._retry.attempts or self._down:
                if failure.code == "UNAVAILABLE":
                    self._down = True
                raise failure
            if failure.code == "RESOURCE_EXHAUSTED" or not self._another_is_up():
                call.sleep(next(delays))

    def _try(
        self, replica: _Replica, request: bytes, images: int, call: Call, metadata: Metadata
    ) -> service_pb2.ModelInferResponse:
        import grpc

        self._limit.acquire()
        scored, overloaded = 0, False
        try:
            response: service_pb2.ModelInferResponse = call.wait_for(
                replica.infer.future(
                    request,
                    timeout=call.remaining(self._timeout),
                    metadata=metadata,
                    compression=self._compression,
                )
            )
            scored = images
            return response
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            failure = _failure(error)
            overloaded = failure.code in ("RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED") and (
                not failure.divisible and call.remaining() != 0.0
            )
            raise failure from error
        finally:
            self._limit.release(scored, overloaded=overloaded)

    def check_model(self, timeout: float | None = _CONTROL_TIMEOUT) -> model_config_pb2.ModelConfig:
        """Asks every replica for the model and holds it against the contract.

        Args:
            timeout: Seconds for each question, or None.

        Returns:
            The configuration of the model on the first replica that answered.

        Raises:
            ServerUnavailable: No replica answers.
            AccessDenied: A token or certificate is missing.
            NotReadyError: The model is missing or not loaded yet.
            ContractError: The model has other tensors.
        """
        config = None
        unavailable: list[ServerUnavailable] = []
        for replica in self._replicas:
            try:
                found = self._check_replica(replica, timeout)
            except ServerUnavailable as error:
                unavailable.append(error)
                self._eject(replica)
            else:
                self._answered(replica)
                config = config or found
        if config is None:
            raise unavailable[0]
        return config

    def server_info(self, timeout: float | None = _CONTROL_TIMEOUT) -> ServerInfo:
        """What the next replica says of itself and of the model.

        Args:
            timeout: Seconds for each question, or None.

        Raises:
            ConnectError: It does not answer, refuses to, or has no such model.
        """
        from tritonclient.grpc import service_pb2

        replica = self._pick()
        server = self._ask(replica, "ServerMetadata", service_pb2.ServerMetadataRequest(), timeout)
        model, config = self._describe_model(replica, timeout)
        return ServerInfo(
            url=replica.url,
            server_name=server.name,
            server_version=server.version,
            extensions=tuple(server.extensions),
            model_name=model.name,
            model_versions=tuple(model.versions),
            model_platform=model.platform or config.backend,
            max_batch_size=config.max_batch_size,
        )

    def wait_until_ready(self, timeout: float) -> None:
        """Waits until a replica has the model loaded.

        Args:
            timeout: Seconds to wait.

        Raises:
            DeadlineExceeded: None was ready in time; the message says what the last one lacked.
            AccessDenied: A token or certificate is missing.
            ContractError: The model has other tensors.
        """
        end = time.monotonic() + timeout
        while True:
            try:
                self.check_model(max(end - time.monotonic(), _POLL_SECONDS))
                return
            except AccessDenied:
                raise
            except ConnectError as error:
                if time.monotonic() + _POLL_SECONDS >= end:
                    raise DeadlineExceeded(f"not ready after {timeout:g} s: {error}") from error
            time.sleep(_POLL_SECONDS)

    def _check_replica(
        self, replica: _Replica, timeout: float | None
    ) -> model_config_pb2.ModelConfig:
        from tritonclient.grpc import service_pb2

        ready = self._ask(
            replica, "ModelReady", service_pb2.ModelReadyRequest(name=MODEL_NAME), timeout
        )
        if not ready.ready:
            raise NotReadyError(
                f"the server at {replica.url} has no model `{MODEL_NAME}` ready: it is still "
                f"loading (wait_until_ready waits for it) or serves another repository."
            )
        metadata, config = self._describe_model(replica, timeout)
        check_contract(metadata)
        return config

    def _describe_model(
        self, replica: _Replica, timeout: float | None
    ) -> tuple[service_pb2.ModelMetadataResponse, model_config_pb2.ModelConfig]:
        from tritonclient.grpc import service_pb2

        metadata = self._ask(
            replica, "ModelMetadata", service_pb2.ModelMetadataRequest(name=MODEL_NAME), timeout
        )
        answer = self._ask(
            replica, "ModelConfig", service_pb2.ModelConfigRequest(name=MODEL_NAME), timeout
        )
        return metadata, answer.config

    def _ask(self, replica: _Replica, method: str, request: Any, timeout: float | None) -> Any:
        import grpc

        send: Callable[..., Any] = getattr(replica.stub, method)
        try:
            return send(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _connect_error(replica.url, _failure(error)) from error

    def _pick(self) -> _Replica:
        """The next replica in turn that is not ejected, else the one that comes back first."""
        now = time.monotonic()
        with self._lock:
            count = len(self._replicas)
            for step in range(count):
                replica = self._replicas[(self._next + step) % count]
                if replica.ejected_until <= now:
                    self._next = (self._next + step + 1) % count
                    return replica
            return min(self._replicas, key=lambda replica: replica.ejected_until)

    def _another_is_up(self) -> bool:
        now = time.monotonic()
        with self._lock:
            return any(replica.ejected_until <= now for replica in self._replicas)

    def _eject(self, replica: _Replica) -> None:
        with self._lock:
            delay = min(_EJECTION_SECONDS * 2**replica.failures, _MAX_EJECTION_SECONDS)
            replica.failures = min(replica.failures + 1, 10)
            replica.ejected_until = time.monotonic() + delay

    def _answered(self, replica: _Replica) -> None:
        with self._lock:
            replica.failures = 0
            replica.ejected_until = 0.0
            self._down = False


def _open_channel(url: str, tls: TLS | None, keepalive: float | None) -> grpc.Channel:
    import grpc

    options: list[tuple[str, Any]] = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.enable_retries", 0),  # this module's retries are the only ones
        ("grpc.lb_policy_name", "round_robin"),  # over all addresses of a name
        # gRPC's own pauses between connection attempts grow to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]
    if keepalive is not None:
        options += [
            ("grpc.keepalive_time_ms", int(keepalive * 1000)),
            ("grpc.keepalive_timeout_ms", int(keepalive * 1000)),
            # While gRPC measures the bandwidth with a ping of its own, keepalive pauses, and that
            # ping waits for a minute.
            ("grpc.http2.ping_timeout_ms", int(keepalive * 1000)),
        ]
    if tls is None:
        return grpc.insecure_channel(url, options)
    if tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    credentials = grpc.ssl_channel_credentials(
        *(None if path is None else Path(path).read_bytes()
          for path in (tls.ca, tls.key, tls.certificate))
    )  # fmt: skip
    return grpc.secure_channel(url, credentials, options)


def _failure(error: grpc.RpcError | grpc.FutureCancelledError) -> RequestFailed:
    status = getattr(error, "code", lambda: None)()
    if status is None:
        return RequestFailed("CANCELLED", "the request was cancelled")
    code = status.name
    message = error.details() or "no reason given"
    # Triton calls it unavailable when a token is missing; trying again would not help.
    if "This protocol is restricted" in message:
        code = "PERMISSION_DENIED"
    # The process that runs a Python model is gone; other replicas have theirs.
    if "is not healthy" in message:
        code = "UNAVAILABLE"
    # gRPC has one status for "busy" and for "message too large"; the latter never passes as it is.
    too_large = code == "RESOURCE_EXHAUSTED" and "larger than max" in message
    return RequestFailed(code, message, divisible=too_large or code in ("INTERNAL", "UNKNOWN"))


def _connect_error(url: str, failure: RequestFailed) -> IQClientError:
    if failure.code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return AccessDenied(
            f"the server at {url} refuses this client ({failure.message}): give a token "
            f"(headers={{'authorization': 'Bearer …'}}) or a client certificate (tls=TLS(…))."
        )
    if failure.code in ("NOT_FOUND", "FAILED_PRECONDITION") or "is not ready" in failure.message:
        return NotReadyError(
            f"the server at {url} has no model `{MODEL_NAME}` ({failure.message}): give it the "
            f"model repository of this project."
        )
    if failure.code == "UNIMPLEMENTED":
        return ContractError(f"the server at {url} is no inference server ({failure.message}).")
    hint = _START_HINT
    if "CERTIFICATE_VERIFY_FAILED" in failure.message:
        hint = "Its certificate is of an unknown authority: give that one's with TLS(ca=…)."
    elif "Hostname Verification" in failure.message:
        hint = "Its certificate has another name: give that one with TLS(server_name=…)."
    elif "WRONG_VERSION_NUMBER" in failure.message:
        hint = "It speaks no TLS: leave `tls` out."
    elif "Socket closed" in failure.message:
        hint = "It closes the connection: does it want TLS, or a client certificate (mTLS)?"
    return ServerUnavailable(f"no server answers at {url} ({failure.message}). {hint}")
