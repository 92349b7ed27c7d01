"""Measures `iq-client bulk` with a stand-in for the server: what shards cost, and memory over time.

    python benchmarks/bulk.py overhead            one shard against plain client.iter_scores
    python benchmarks/bulk.py million             memory and rate of the local driver over time
    python benchmarks/bulk.py million --driver ray

The stand-in keeps the contract over gRPC and answers with constants, so that the client's side is
all that is measured; it runs in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from concurrent import futures
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
from measure import in_turns, machine, ratio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from iq_client import Client
from iq_client.bulk.drivers import Job, Outcome, ShardFailure
from iq_client.bulk.drivers.local import score_locally
from iq_client.bulk.manifest import Manifest, plan
from iq_client.bulk.shard import score_shard
from iq_client.bulk.store import Folder, open_folder
from iq_client.images.inputs import InputOptions


class StandIn(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """The contract without a tower: every image gets the same score."""

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Says yes."""
        return service_pb2.ModelReadyResponse(ready=True)

    def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Names itself."""
        return service_pb2.ServerMetadataResponse(name="stand-in", version="0")

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The contract's tensors."""
        metadata = service_pb2.ModelMetadataResponse(name="nima", versions=["1"])
        metadata.inputs.add(name="IMAGE", datatype="BYTES", shape=[-1, 1])
        for name, datatype, width in _OUTPUTS:
            metadata.outputs.add(name=name, datatype=datatype, shape=[-1, width])
        return metadata

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The largest batch."""
        answer = service_pb2.ModelConfigResponse()
        answer.config.max_batch_size = 64
        answer.config.name = request.name
        return answer

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A score for each image."""
        count = request.inputs[0].shape[0]
        response = service_pb2.ModelInferResponse(model_name="nima", id=request.id)
        contents = (_DISTRIBUTION, _MEAN, _STD, b"\0\0\0\0")
        for (name, datatype, width), content in zip(_OUTPUTS, contents, strict=True):
            response.outputs.add(name=name, datatype=datatype, shape=[count, width])
            response.raw_output_contents.append(content * count)
        return response


_OUTPUTS = (("DISTRIBUTION", "FP32", 10), ("MEAN", "FP32", 1), ("STD", "FP32", 1),
            ("ERROR", "BYTES", 1))  # fmt: skip
_DISTRIBUTION = struct.pack("<10f", *[0.1] * 10)
_MEAN, _STD = struct.pack("<f", 5.5), struct.pack("<f", 2.87)


def serve(addresses: Any) -> None:
    """Serves the stand-in and tells its address."""
    server = grpc.server(
        futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)]
    )
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(StandIn(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    addresses.put(f"127.0.0.1:{port}")
    server.wait_for_termination()


@contextmanager
def stand_in() -> Iterator[str]:
    """The address of a stand-in in a process of its own."""
    context = multiprocessing.get_context("spawn")
    addresses = context.Queue()
    process = context.Process(target=serve, args=(addresses,), daemon=True)
    process.start()
    try:
        yield addresses.get()
    finally:
        process.kill()
        process.join()


def listing(folder: Path, rows: int, shard_size: int) -> tuple[Manifest, Folder]:
    """A run of so many photos: a few files of a kilobyte, again and again."""
    photos = [folder / f"{number}.jpg" for number in range(100)]
    for path in photos:
        path.write_bytes(os.urandom(1000))
    lines = folder / "photos.txt"
    with lines.open("w") as file:
        for number in range(rows):
            file.write(f"{photos[number % len(photos)]}\n")
    output = open_folder(str(folder / "scores"))
    return plan([str(lines)], output, shard_size), output


def overhead(arguments: argparse.Namespace) -> None:
    """The rate of `score_shard` against that of `iter_scores` over the same paths, in turns."""
    with tempfile.TemporaryDirectory() as folder, stand_in() as url, Client(url) as client:
        made, output = listing(Path(folder), arguments.shard_size, arguments.shard_size)
        (shard,) = made.shards
        paths = (Path(folder) / "photos.txt").read_text().splitlines()

        def plain() -> None:
            for score in client.iter_scores(paths):
                assert score.ok

        def one_shard() -> None:
            Path(output.join(shard.file)).unlink(missing_ok=True)
            result = score_shard(shard, output, client, None, inputs=InputOptions())
            assert result.scored == len(paths) and not result.errors

        found = in_turns(
            {"iter_scores": (plain, len(paths)), "score_shard": (one_shard, len(paths))},
            arguments.rounds,
        )
    share = ratio(found["iter_scores"], found["score_shard"])
    print(f"{arguments.shard_size} photos of 1 kB, {arguments.rounds} rounds; {machine()}")
    print(f"rate of score_shard / rate of iter_scores: {share:.3f}")


def million(arguments: argparse.Namespace) -> None:
    """Memory of driver and workers while rows pass through a driver."""
    with tempfile.TemporaryDirectory() as folder, stand_in() as url:
        made, output = listing(Path(folder), arguments.rows, arguments.shard_size)
        job = Job(output.url, None, (url,), None, {}, InputOptions())
        done, start, shown = 0, time.perf_counter(), 0
        print(f"{arguments.rows} photos of 1 kB, {arguments.driver} driver; {machine()}")
        print("     rows  driver MiB  workers MiB each  rows/s")
        with closing(driver(arguments)(job, made)) as outcomes:
            for outcome in outcomes:
                assert not isinstance(outcome, ShardFailure), outcome.message
                done += outcome.rows
                if done * 10 // arguments.rows > shown:
                    shown = done * 10 // arguments.rows
                    workers = [round(resident(pid)) for pid in worker_pids()]
                    rate = done / (time.perf_counter() - start)
                    print(f"{done:9d}  {resident('self'):10.0f}  {workers!s:>16}  {rate:6.0f}")
        files = output.names() & {shard.file for shard in made.shards}
        assert len(files) == len(made.shards) and done == arguments.rows


def driver(arguments: argparse.Namespace) -> Callable[..., Generator[Outcome, None, None]]:
    """The driver that the command line names."""
    if arguments.driver == "ray":
        from iq_client.bulk.drivers.ray import score_on_ray

        return lambda job, made: score_on_ray(job, made.shards, workers=arguments.workers)
    return lambda job, made: score_locally(job, made.shards, workers=arguments.workers)


def worker_pids() -> list[str]:
    """Processes that score shards: children of this one, or Ray's."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            name = (path / "cmdline").read_bytes()
            parent = (path / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        spawned = parent == str(os.getpid()) and b"multiprocessing.spawn" in name
        if spawned or name.startswith(b"ray::_score_shard"):
            found.append(path.name)
    return found


def resident(pid: str) -> float:
    """Memory of a process in MiB; 0 where it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Reads the command line and runs one benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = {"overhead": overhead, "million": million}
    parser.add_argument("benchmark", choices=actions)
    parser.add_argument("--shard-size", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--driver", choices=["local", "ray"], default="local")
    arguments = parser.parse_args()
    print(f"# {' '.join(sys.argv)}", flush=True)
    actions[arguments.benchmark](arguments)


if __name__ == "__main__":
    main()
