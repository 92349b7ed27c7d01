"""Servers that keep the contract without a tower, each in a process of its own.

They answer with what is quick to compute, so that the client's side is what a benchmark measures.
"""

from __future__ import annotations

import multiprocessing
import struct
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Final

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from iq_client.wire.protocol import INPUTS, MODEL_NAME, OUTPUTS

_DISTRIBUTION: Final = struct.pack("<10f", *[0.1] * 10)
_STD: Final = struct.pack("<f", 2.87)
_CONTEXT: Final = multiprocessing.get_context("spawn")


def mean_of(size: int) -> float:
    """The mean that a stand-in gives to a photo of so many bytes."""
    return 1.0 + size % 9


class _Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """The contract; requests wait for each other, as those of a busy tower do."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._busy = threading.Lock()

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802  gRPC's names
        return service_pb2.ModelReadyResponse(ready=True)

    def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ServerMetadataResponse(name="stand-in", version="0")

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        metadata = service_pb2.ModelMetadataResponse(name=MODEL_NAME, versions=["1"])
        for tensors, contract in ((metadata.inputs, INPUTS), (metadata.outputs, OUTPUTS)):
            for name, (datatype, shape) in contract.items():
                tensors.add(name=name, datatype=datatype, shape=[-1, *shape])
        return metadata

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = service_pb2.ModelConfigResponse()
        answer.config.max_batch_size = 64
        return answer

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._busy:
            time.sleep(self._seconds)
        means = [mean_of(size) for size in _sizes(request.raw_input_contents[0])]
        count = len(means)
        response = service_pb2.ModelInferResponse(model_name=MODEL_NAME, model_version="1")
        contents = {
            "DISTRIBUTION": _DISTRIBUTION * count,
            "MEAN": struct.pack(f"<{count}f", *means),
            "STD": _STD * count,
            "ERROR": bytes(4 * count),
        }
        for name, content in contents.items():
            datatype, shape = OUTPUTS[name]
            response.outputs.add(name=name, datatype=datatype, shape=[count, *shape])
            response.raw_output_contents.append(content)
        return response


def _sizes(content: bytes) -> Iterator[int]:
    """The sizes in a BYTES tensor: each element follows its length in four bytes."""
    offset = 0
    while offset < len(content):
        (size,) = struct.unpack_from("<I", content, offset)
        yield size
        offset += 4 + size


def _serve(seconds: float, port: int, started: Connection) -> None:
    options = [("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(64), options=options)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Servicer(seconds), server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    started.send(port)
    server.wait_for_termination()


class StandIn:
    """A stand-in that may be killed and started again.

    Attributes:
        url: Its address, which it keeps.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        """Starts it.

        Args:
            seconds: Time that it takes for a request, one after the other.
        """
        self._seconds = seconds
        self.url = ""
        self.start()

    def start(self) -> None:
        """Starts the process."""
        here, there = _CONTEXT.Pipe()
        port = int(self.url.rpartition(":")[2] or 0)
        self._process = _CONTEXT.Process(
            target=_serve, args=(self._seconds, port, there), daemon=True
        )
        self._process.start()
        self.url = f"127.0.0.1:{here.recv()}"

    def kill(self) -> None:
        """Kills the process."""
        self._process.kill()
        self._process.join()


@contextmanager
def stand_in(seconds: float = 0.0) -> Iterator[StandIn]:
    """A stand-in that ends with the block."""
    server = StandIn(seconds)
    try:
        yield server
    finally:
        server.kill()
