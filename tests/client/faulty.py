"""A gRPC server that keeps the contract, and misbehaves where a test wants it to."""

from __future__ import annotations

import hashlib
import json
import struct
import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any, TypeAlias

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from iq_client import RetryPolicy, Score

Fault: TypeAlias = Callable[[int, Any, Any], Callable[[Any], None] | None]

# Patience that no machine is too slow for: only the number of tries that a test counts may end it.
PATIENT = RetryPolicy(attempts=100_000, timeouts=100_000, first_delay=0.001, max_delay=0.1)
QUICK = RetryPolicy(first_delay=0.001, max_delay=0.01)


class FaultyServer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Keeps the contract (an image's mean is its length modulo 8, plus 1) until told otherwise.

    Attributes:
        fault: Called with the number of the request (from 0), the request and its context: it may
            abort, wait, or return a function that damages the response.
        requests: Every request for scores so far.
        asked: Count of the questions whether the model is ready.
        ready_after: Count of such questions that are answered with no.
        shape: The distribution's, as the model's description says it.
        headers: Those of the last request of any kind.
        version: That of the model that answers.
        tower: The `tower.json` that its configuration holds, or None.
    """

    def __init__(self, max_message: int = -1, port: int = 0) -> None:
        self.fault: Fault = no_fault
        self.requests: list[Any] = []
        self.asked = 0
        self.ready_after = 0
        self.shape = [-1, 10]
        self.headers: dict[str, str] = {}
        self.version = "1"
        self.tower: str | None = None
        self._lock = threading.Lock()
        self._server = grpc.server(
            futures.ThreadPoolExecutor(32),
            options=[("grpc.max_receive_message_length", max_message), ("grpc.so_reuseport", 0)],
        )
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.url = f"127.0.0.1:{self._server.add_insecure_port(f'127.0.0.1:{port}')}"

    def __enter__(self) -> FaultyServer:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.headers = dict(context.invocation_metadata())
        self.asked += 1
        return service_pb2.ModelReadyResponse(ready=self.asked > self.ready_after)

    def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ServerMetadataResponse(name="faulty", version="0")

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        metadata = service_pb2.ModelMetadataResponse(name="nima", versions=[self.version])
        metadata.inputs.add(name="IMAGE", datatype="BYTES", shape=[-1, 1])
        for name, datatype, shape in (
            ("DISTRIBUTION", "FP32", self.shape),
            ("MEAN", "FP32", [-1, 1]),
            ("STD", "FP32", [-1, 1]),
            ("ERROR", "BYTES", [-1, 1]),
        ):
            metadata.outputs.add(name=name, datatype=datatype, shape=shape)
        return metadata

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = service_pb2.ModelConfigResponse()
        answer.config.max_batch_size = 64
        answer.config.name = request.name
        if self.tower is not None:
            answer.config.parameters[f"tower.{self.version}"].string_value = self.tower
        return answer

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._lock:
            number = len(self.requests)
            self.requests.append(request)
        damage = self.fault(number, request, context)
        lengths = lengths_of(request)
        response = service_pb2.ModelInferResponse(
            model_name="nima", model_version=self.version, id=request.id
        )
        means = [faulty_mean(length) for length in lengths]
        for name, datatype, width, content in (
            ("DISTRIBUTION", "FP32", 10, struct.pack("<10f", *[0.1] * 10) * len(means)),
            ("MEAN", "FP32", 1, struct.pack(f"<{len(means)}f", *means)),
            ("STD", "FP32", 1, struct.pack(f"<{len(means)}f", *[1.0] * len(means))),
            ("ERROR", "BYTES", 1, bytes(4 * len(means))),
        ):
            response.outputs.add(name=name, datatype=datatype, shape=[len(means), width])
            response.raw_output_contents.append(content)
        if damage is not None:
            damage(response)
        return response


def description(name: str = "tiny", **more: object) -> str:
    """The `tower.json` of a tower whose sum is made from its name."""
    return json.dumps(
        {
            "tower": name,
            "version": "1.2",
            "sha256": hashlib.sha256(name.encode()).hexdigest(),
            "preprocessing_version": 1,
            "licence": "CC0-1.0",
            **more,
        }
    )


def no_fault(number: int, request: Any, context: Any) -> None:
    """The fault of a server that has none."""


def until_cancelled(context: Any) -> None:
    """Holds a request until its client gives it up."""
    ended = threading.Event()
    if context.add_callback(ended.set):
        ended.wait()


def abort(code: grpc.StatusCode, text: str = "injected") -> Fault:
    """A fault that every request meets."""

    def fault(number: int, request: Any, context: Any) -> None:
        context.abort(code, text)

    return fault


def faulty_mean(length: int) -> float:
    """The mean that a server with faults gives to so many bytes."""
    return 1.0 + length % 8


def lengths_of(request: Any) -> list[int]:
    """The lengths of a request's images."""
    content = request.raw_input_contents[0]
    lengths, offset = [], 0
    while offset < len(content):
        (length,) = struct.unpack_from("<I", content, offset)
        lengths.append(length)
        offset += 4 + length
    return lengths


def codes_of(scores: list[Score]) -> set[str | None]:
    """The error codes in some scores."""
    return {score.error.code if score.error else None for score in scores}
