"""Throughput of one client over 1, 2, 4 and 8 servers, relative to linear.

    python benchmarks/scaling.py [--in-flight N]

The servers are simulated: real gRPC servers, each in a process of its own, that keep the contract
and take a fixed time for a request, one after the other, as a busy tower does. They wait instead
of computing, so that what is measured is the client: its turns over the servers, its reading,
packing and sending. The wait has to be long against what the client computes for a request.
"""

from __future__ import annotations

import argparse
import multiprocessing
import struct
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import Any, Final

import grpc
from measure import Result, in_turns, machine, table
from tritonclient.grpc import service_pb2, service_pb2_grpc

from iq_client import Client
from iq_client.wire.protocol import INPUTS, MODEL_NAME, OUTPUTS

WANTED: Final = 0.9
_DISTRIBUTION: Final = struct.pack("<10f", *[0.1] * 10)


class SlowServer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Answers every request after a fixed time, one after the other."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._busy = threading.Lock()

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802  gRPC's names
        """Always ready."""
        return service_pb2.ModelReadyResponse(ready=True)

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The contract's tensors."""
        metadata = service_pb2.ModelMetadataResponse(name=MODEL_NAME, versions=["1"])
        for tensors, contract in ((metadata.inputs, INPUTS), (metadata.outputs, OUTPUTS)):
            for name, (datatype, shape) in contract.items():
                tensors.add(name=name, datatype=datatype, shape=[-1, *shape])
        return metadata

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A model without a description of its tower."""
        answer = service_pb2.ModelConfigResponse()
        answer.config.max_batch_size = 64
        return answer

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The same score for every image."""
        with self._busy:
            time.sleep(self._seconds)
        count = request.inputs[0].shape[0]
        response = service_pb2.ModelInferResponse(model_name=MODEL_NAME, model_version="1")
        contents = {
            "DISTRIBUTION": _DISTRIBUTION * count,
            "MEAN": struct.pack("<f", 5.5) * count,
            "STD": struct.pack("<f", 2.87) * count,
            "ERROR": bytes(4 * count),
        }
        for name, content in contents.items():
            datatype, shape = OUTPUTS[name]
            response.outputs.add(name=name, datatype=datatype, shape=[count, *shape])
            response.raw_output_contents.append(content)
        return response


def _serve(seconds: float, started: Connection) -> None:
    server = grpc.server(
        futures.ThreadPoolExecutor(64), options=[("grpc.max_receive_message_length", -1)]
    )
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(SlowServer(seconds), server)
    started.send(server.add_insecure_port("127.0.0.1:0"))
    server.start()
    server.wait_for_termination()


@contextmanager
def slow_server(seconds: float) -> Iterator[str]:
    """The address of a simulated server in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(seconds, there), daemon=True)
    process.start()
    try:
        yield f"127.0.0.1:{here.recv()}"
    finally:
        process.terminate()
        process.join()


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description="Throughput over several servers.")
    parser.add_argument("--servers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--milliseconds", type=float, default=500, help="a request takes")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--size", type=int, default=20_000, help="bytes of a photo")
    parser.add_argument("--requests", type=int, default=24, help="for each server")
    parser.add_argument("--in-flight", type=int, help="for each server; default: the client's own")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    photo = bytes(options.size)
    with ExitStack() as stack:
        urls = [
            stack.enter_context(slow_server(options.milliseconds / 1000))
            for _ in range(max(options.servers))
        ]
        contenders = {}
        for count in options.servers:
            in_flight = None if options.in_flight is None else count * options.in_flight
            client = stack.enter_context(
                Client(urls[:count], batch_size=options.batch_size, in_flight=in_flight)
            )
            photos = count * options.requests * options.batch_size

            def run(client: Client = client, photos: int = photos) -> None:
                assert all(score.ok for score in client.iter_scores([photo] * photos))

            contenders[str(count)] = (run, photos)
        found = in_turns(contenders, options.rounds)
    _report(found, 1000 * options.batch_size / options.milliseconds)
    print(f"\n{machine()}")


def _report(found: dict[str, Result], rate: float) -> None:
    first = next(iter(found))
    base = found[first].per_second / int(first)
    rows = []
    for count, result in found.items():
        each = result.per_second / int(count)
        rows.append((count, f"{each / base:.2f}", f"{each / rate:.2f}"))
    print(table(("servers", "of linear", "of what the servers can"), rows))
    print(f"wanted of linear: {WANTED:.2f}")


if __name__ == "__main__":
    main()
