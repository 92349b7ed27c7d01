"""The way of a batch to its scores: the seam, and the transport over gRPC that fills it."""

from __future__ import annotations

import contextlib
import itertools
import logging
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from iq_client.errors import (
    AccessDenied,
    ConnectError,
    DeadlineExceeded,
    IQClientError,
    NotReadyError,
    RequestFailed,
    ServerUnavailable,
)
from iq_client.results import Score, ServerInfo, TowerIdentity
from iq_client.wire.call import Call
from iq_client.wire.channel import TLS, Compression, grpc_compression, open_channel
from iq_client.wire.failures import connect_error, request_failed
from iq_client.wire.limit import InFlightLimit
from iq_client.wire.protocol import (
    Metadata,
    check_contract,
    decode_response,
    encode_request,
    tower_identities,
)
from iq_client.wire.replicas import Replica, Replicas
from iq_client.wire.retry import Fault, RetryPolicy, Tries, fault_of

if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2, service_pb2

_LOG: Final = logging.getLogger(__name__)

CONTROL_SECONDS: Final = 10.0  # for a question that asks for no score
_POLL_SECONDS: Final = 0.1

# A token, or a function that gives the one that is valid now.
Token: TypeAlias = str | Callable[[], str]


class Transport(Protocol):
    """The little that a client needs of whatever scores its batches: `Client(transport=…)`.

    Its methods are called from several threads at once.
    """

    def check(self, timeout: float | None) -> int:
        """Makes sure that batches can be scored, before the first one is sent.

        Args:
            timeout: Seconds for the answer, or None for no end.

        Returns:
            Images of one batch at most.

        Raises:
            ConnectError: Nobody can be asked.
            ContractError: The model is not the one that this client was written for.
        """

    def score(self, images: Sequence[bytes], names: Sequence[str], call: Call) -> Sequence[Score]:
        """The scores of one batch.

        Args:
            images: Encoded image files, one at least.
            names: The `source` of each image's score.
            call: The caller's call: its time that is left, and whether it was cancelled.

        Returns:
            One score per image, in order.

        Raises:
            RequestFailed: There are none; it becomes the error of each image of the batch.
        """

    def server_info(self, timeout: float | None) -> ServerInfo:
        """Description of a server and its model.

        Args:
            timeout: Seconds for each question, or None for no end.

        Raises:
            ConnectError: It does not answer, refuses to, or has no such model.
        """

    def close(self) -> None:
        """Ends the connections."""


def wait_until_ready(transport: Transport, timeout: float) -> None:
    """Waits until batches can be scored.

    Args:
        transport: Is asked again and again.
        timeout: Seconds to wait.

    Raises:
        DeadlineExceeded: It was not ready in time; the message says what was missing last.
        AccessDenied: A token or certificate is missing.
        ContractError: The model has other tensors.
    """
    end = time.monotonic() + timeout
    while True:
        try:
            transport.check(max(end - time.monotonic(), _POLL_SECONDS))
            return
        except AccessDenied:
            raise
        except ConnectError as error:
            if time.monotonic() + _POLL_SECONDS >= end:
                raise DeadlineExceeded(f"not ready after {timeout:g} s: {error}") from error
        time.sleep(_POLL_SECONDS)


class GrpcTransport:
    """Sends requests to one or several Triton servers in turn."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        model: str,
        version: str,
        limit: InFlightLimit,
        retry: RetryPolicy,
        timeout: float | None,
        tls: TLS | None,
        headers: Mapping[str, str],
        token: Token | None,
        compression: Compression | None,
        keepalive: float | None,
    ) -> None:
        """Opens channels, which connect on first use.

        Args:
            urls: Addresses, `HOST:PORT` or `dns:///NAME:PORT`.
            model: The model that is asked for scores.
            version: Its version; empty for the one that the server prefers.
            limit: The gate that every try of a request passes.
            retry: Patience with a request that fails.
            timeout: Seconds for a single try, or None.
            tls: Certificates, or None for plain text.
            headers: Sent with every request.
            token: Sent as `authorization: Bearer …`; asked for anew with every try.
            compression: Of requests, or None.
            keepalive: Seconds of silence, while a request is under way, after which the connection
                is probed; None for never.
        """
        self._model = model
        self._version = version
        self._limit = limit
        self._retry = retry
        self._timeout = timeout
        self._headers = tuple((name.lower(), value) for name, value in headers.items())
        self._token = token
        self._compression = grpc_compression(compression)
        self._replicas = Replicas([Replica(url, open_channel(url, tls, keepalive)) for url in urls])
        self._random = random.Random()
        self._id = uuid.uuid4().hex[:12]
        self._numbers = itertools.count(1)

    def close(self) -> None:
        """Closes the channels."""
        for replica in self._replicas:
            replica.channel.close()

    def score(self, images: Sequence[bytes], names: Sequence[str], call: Call) -> list[Score]:
        """The scores of one batch, from whichever replica answers."""
        name = f"{self._id}-{next(self._numbers)}"
        request = encode_request(images, name, model=self._model, version=self._version)
        try:
            if call.trace is None:
                tower, response = self._infer(name, request, len(images), call, ())
            else:
                with call.trace.request(len(images), len(request)) as headers:
                    tower, response = self._infer(name, request, len(images), call, headers)
            return decode_response(response, names, tower)
        except RequestFailed as error:
            # The name is what the server's log and traces have.
            raise RequestFailed(
                error.code, f"{error.message} (request {name})", divisible=error.divisible
            ) from error

    def _infer(
        self, name: str, request: bytes, images: int, call: Call, headers: Metadata
    ) -> tuple[TowerIdentity | None, service_pb2.ModelInferResponse]:
        tries = Tries(self._retry, self._random)
        while True:
            call.check()
            replica = self._replicas.pick()
            try:
                answer = self._try(replica, request, images, call, headers)
            except RequestFailed as error:
                call.check()  # where the call is over, that is the reason
                failure = error
            else:
                self._replicas.answered(replica)
                return answer
            fault = fault_of(failure)
            if fault is Fault.AWAY:
                self._replicas.eject(replica)
            else:
                self._replicas.answered(replica)
            if not tries.again(fault) or self._replicas.down:
                if fault is Fault.AWAY:
                    self._replicas.down = True
                raise failure
            _LOG.info("request %s: %s from %s, trying again", name, failure.code, replica.url)
            if fault is Fault.BUSY or not self._replicas.any_up():
                call.sleep(tries.delay())

    def _try(
        self, replica: Replica, request: bytes, images: int, call: Call, headers: Metadata
    ) -> tuple[TowerIdentity | None, service_pb2.ModelInferResponse]:
        import grpc

        self._limit.acquire()
        scored, overloaded = 0, False
        try:
            if not replica.towers:
                self._ask_for_towers(replica, call)
            response: service_pb2.ModelInferResponse = call.wait_for(
                replica.infer.future(
                    request,
                    timeout=call.remaining(self._timeout),
                    metadata=(*self._metadata(), *headers),
                    compression=self._compression,
                )
            )
            scored = images
            version = response.model_version
            if version not in replica.towers:  # it was swapped since
                self._ask_for_towers(replica, call)
                replica.towers.setdefault(version, None)
            return replica.towers.get(version), response
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            failure = request_failed(error)
            # Where the call's own time is up, the server is not to blame.
            overloaded = fault_of(failure) in (Fault.BUSY, Fault.LATE) and call.remaining() != 0.0
            raise failure from error
        finally:
            self._limit.release(scored, overloaded=overloaded)

    def _ask_for_towers(self, replica: Replica, call: Call) -> None:
        # Where this fails the request will as well, and says why, or it has its scores already.
        with contextlib.suppress(IQClientError):
            self._describe_model(replica, call.remaining(CONTROL_SECONDS))

    def _metadata(self) -> Metadata:
        """The headers of a request; raises `RequestFailed` where the token cannot be had."""
        if self._token is None:
            return self._headers
        try:
            token = self._token() if callable(self._token) else self._token
        except Exception as error:  # the caller's function may raise anything
            raise RequestFailed(
                "UNAUTHENTICATED", f"there is no token: {type(error).__name__}: {error}"
            ) from error
        return (*self._headers, ("authorization", f"Bearer {token}"))

    def check(self, timeout: float | None) -> int:
        """Asks every replica for the model and holds it against the contract.

        Args:
            timeout: Seconds for each question, or None.

        Returns:
            Images of one request at most, on the first replica that answered.

        Raises:
            ServerUnavailable: No replica answers.
            AccessDenied: A token or certificate is missing.
            NotReadyError: The model is missing or not loaded yet.
            ContractError: The model has other tensors.
        """
        limits: list[int] = []
        unavailable: list[ServerUnavailable] = []
        for replica in self._replicas:
            try:
                limits.append(self._check_replica(replica, timeout))
            except ServerUnavailable as error:
                unavailable.append(error)
                self._replicas.eject(replica)
            else:
                self._replicas.answered(replica)
        if not limits:
            raise unavailable[0]
        return limits[0]

    def server_info(self, timeout: float | None) -> ServerInfo:
        """Description of the first replica in turn that answers, and of the model on it."""
        unavailable: list[ServerUnavailable] = []
        for _ in range(len(self._replicas)):
            replica = self._replicas.pick()
            try:
                return self._describe_replica(replica, timeout)
            except ServerUnavailable as error:
                unavailable.append(error)
                self._replicas.eject(replica)
        raise unavailable[0]

    def _describe_replica(self, replica: Replica, timeout: float | None) -> ServerInfo:
        from tritonclient.grpc import service_pb2

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
            tower=replica.towers.get(self._version or max(model.versions, key=int, default="")),
        )

    @property
    def _wanted(self) -> str:
        version = f" in version {self._version}" if self._version else ""
        return f"`{self._model}`{version}"

    def _check_replica(self, replica: Replica, timeout: float | None) -> int:
        from tritonclient.grpc import service_pb2

        ready = self._ask(
            replica,
            "ModelReady",
            service_pb2.ModelReadyRequest(name=self._model, version=self._version),
            timeout,
        )
        if not ready.ready:
            raise NotReadyError(
                f"the server at {replica.url} has no model {self._wanted} ready: it is still "
                f"loading (wait_until_ready waits for it) or serves another repository."
            )
        metadata, config = self._describe_model(replica, timeout)
        check_contract(metadata)
        return int(config.max_batch_size)

    def _describe_model(
        self, replica: Replica, timeout: float | None
    ) -> tuple[service_pb2.ModelMetadataResponse, model_config_pb2.ModelConfig]:
        from tritonclient.grpc import service_pb2

        metadata = self._ask(
            replica,
            "ModelMetadata",
            service_pb2.ModelMetadataRequest(name=self._model, version=self._version),
            timeout,
        )
        answer = self._ask(
            replica,
            "ModelConfig",
            service_pb2.ModelConfigRequest(name=self._model, version=self._version),
            timeout,
        )
        replica.towers = {
            **dict.fromkeys(metadata.versions),
            **tower_identities(answer.config),
        }
        return metadata, answer.config

    def _ask(self, replica: Replica, method: str, request: Any, timeout: float | None) -> Any:
        import grpc

        send: Callable[..., Any] = getattr(replica.stub, method)
        try:
            return send(request, timeout=timeout, metadata=self._metadata())
        except grpc.RpcError as error:
            raise connect_error(replica.url, self._model, request_failed(error)) from error
        except RequestFailed as error:
            raise AccessDenied(f"the server at {replica.url}: {error.message}") from error
