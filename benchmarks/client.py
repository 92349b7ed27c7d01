"""Costs of the SDK: against a bare tritonclient, over batch sizes, per image, and in memory.

    python benchmarks/client.py compare [PHOTO…]   the SDK and a bare tritonclient loop, in turns
    python benchmarks/client.py sweep [PHOTO…]     images per second by batch size and in-flight
    python benchmarks/client.py overhead           microseconds of the SDK per image, no server
    python benchmarks/client.py memory             a million paths through one client
    python benchmarks/client.py shared-memory      the bytes in the request or beside it
    python benchmarks/client.py drift PHOTO…       what shrinking before sending does to scores
    python benchmarks/client.py encodings PHOTO…   ways to send PIL images and arrays

A real Triton is started with `--model-repository` (by default the stand-in of the tests, which
scores a checksum: the quicker the model, the more the client shows). Without photos, bytes of
`--size` are sent.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import os
import queue
import resource
import statistics
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import tritonclient.grpc
import tritonclient.utils.shared_memory as system_shared_memory
from measure import figure, table
from PIL import Image
from tritonclient.grpc import service_pb2

from iq_client import Call, Client, LocalServer, Score, ServerInfo
from iq_client.images.encode import ArrayEncoding, encode_image, shrink
from iq_client.images.inputs import expand
from iq_client.wire.protocol import MODEL_NAME, decode_response, encode_request

STUB = Path(__file__).parent.parent / "tests" / "client" / "stub_repository"


def bare_loop(url: str, paths: Sequence[str], batch_size: int, in_flight: int) -> list[float]:
    """A loop with tritonclient alone: threads that read, pack, send and unpack."""
    batches = [paths[start : start + batch_size] for start in range(0, len(paths), batch_size)]
    means: list[Any] = [None] * len(batches)
    numbers: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(batches)):
        numbers.put(number)

    def work() -> None:
        empty = contextlib.suppress(queue.Empty)
        with tritonclient.grpc.InferenceServerClient(url) as client, empty:
            while True:
                number = numbers.get_nowait()
                images = [Path(path).read_bytes() for path in batches[number]]
                tensor = tritonclient.grpc.InferInput("IMAGE", [len(images), 1], "BYTES")
                tensor.set_data_from_numpy(np.array(images, np.object_).reshape(-1, 1))
                result = client.infer(MODEL_NAME, [tensor])
                for name in ("DISTRIBUTION", "STD", "ERROR"):
                    result.as_numpy(name)
                means[number] = result.as_numpy("MEAN")[:, 0]

    threads = [threading.Thread(target=work) for _ in range(in_flight)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [float(mean) for batch in means for mean in batch]


def timed(action: Any) -> tuple[float, Any]:
    """Seconds that an action takes, and its result."""
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def compare(server: LocalServer, paths: Sequence[str], arguments: argparse.Namespace) -> None:
    """The SDK and the bare loop in turns; the ratio of each pair, then the median."""
    rows: list[tuple[object, ...]] = []
    ratios: list[float] = []
    for in_flight in arguments.in_flight:
        bare, sdk = [], []
        with Client(server.url, batch_size=arguments.batch_size, in_flight=in_flight) as client:
            client.score_images(paths[: arguments.batch_size])
            for number in range(arguments.rounds + 1):
                runs = [
                    lambda: bare_loop(server.url, paths, arguments.batch_size, in_flight),  # noqa: B023
                    lambda: [score.mean for score in client.iter_scores(paths)],
                ]
                order = (0, 1) if number % 2 else (1, 0)
                results = {index: timed(runs[index]) for index in order}
                if results[0][1] != results[1][1]:
                    raise SystemExit("the SDK and the bare loop disagree about the scores")
                if number:  # the first round warms both up
                    bare.append(results[0][0])
                    sdk.append(results[1][0])
        ratio = statistics.median(b / s for b, s in zip(bare, sdk, strict=True))
        rows.append(
            (
                in_flight,
                f"{len(paths) / statistics.median(bare):.0f}",
                f"{len(paths) / statistics.median(sdk):.0f}",
                f"{ratio:.2f}",
            )
        )
        ratios.append(ratio)
    print(table(("in flight", "bare loop, images/s", "SDK, images/s", "SDK / bare"), rows))
    print(figure("the SDK / a bare tritonclient loop, least", f"{min(ratios):.2f}", "1.00"))


def sweep(server: LocalServer, paths: Sequence[str], arguments: argparse.Namespace) -> None:
    """Images per second by batch size and requests in flight; `auto` adapts by itself."""
    widths = [*arguments.in_flight, None]
    print("batch_size  " + "".join(f"{width or 'auto'!s:>8s}" for width in widths))
    for batch_size in (1, 4, 16, 32, 64):
        row = []
        for width in widths:
            with Client(server.url, batch_size=batch_size, in_flight=width) as client:
                client.score_images(paths[:batch_size])
                seconds = min(
                    timed(lambda: client.score_images(paths))[0] for _ in range(arguments.rounds)
                )
            row.append(len(paths) / seconds)
        print(f"{batch_size:10d}  " + "".join(f"{rate:8.0f}" for rate in row))


class Answering:
    """A transport that packs every request and unpacks a response that is there at once."""

    def __init__(self) -> None:
        self._responses: dict[int, Any] = {}

    def check(self, timeout: float | None) -> int:
        """Images of one batch, as Triton allows them."""
        return 64

    def score(self, images: Sequence[bytes], names: Sequence[str], call: Call) -> list[Score]:
        """The same scores for every image."""
        encode_request(images, "benchmark")
        return decode_response(self._response(len(images)), names)

    def server_info(self, timeout: float | None) -> ServerInfo:
        """Description of the server that is not there."""
        return ServerInfo("", "none", "0", (), MODEL_NAME, (), "none", 64)

    def close(self) -> None:
        """There is nothing to close."""

    def _response(self, count: int) -> Any:
        if count not in self._responses:
            response = service_pb2.ModelInferResponse()
            for name, width, content in (
                ("DISTRIBUTION", 10, struct.pack("<f", 0.1) * 10 * count),
                ("MEAN", 1, struct.pack("<f", 5.5) * count),
                ("STD", 1, struct.pack("<f", 1.5) * count),
                ("ERROR", 1, bytes(4 * count)),
            ):
                datatype = "BYTES" if name == "ERROR" else "FP32"
                response.outputs.add(name=name, datatype=datatype, shape=[count, width])
                response.raw_output_contents.append(content)
            self._responses[count] = response
        return self._responses[count]


def overhead(arguments: argparse.Namespace) -> None:
    """Time per image of everything that is the SDK's: with a transport that answers at once."""
    print("bytes/image  bytes µs/image  paths µs/image")
    with (
        tempfile.TemporaryDirectory() as folder,
        Client(transport=Answering(), batch_size=32, in_flight=4) as client,
    ):
        for size in (100, 100_000):
            data = os.urandom(size)
            path = Path(folder) / str(size)
            path.write_bytes(data)
            rates = []
            for item in (data, str(path)):
                count = 100_000 if size == 100 else 10_000

                def run(item: Any = item, count: int = count) -> None:
                    for _ in client.iter_scores(itertools.repeat(item, count)):
                        pass

                rates.append(min(timed(run)[0] for _ in range(arguments.rounds)) / count * 1e6)
            print(f"{size:11d}  {rates[0]:14.1f}  {rates[1]:14.1f}")


def resident_mebibytes() -> float:
    """Memory of this process that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def memory(server: LocalServer, paths: Sequence[str], arguments: argparse.Namespace) -> None:
    """Resident memory of this process while paths stream through a client."""
    print("   images   MiB resident   img/s")
    endless = itertools.islice(itertools.cycle(paths), arguments.images)
    start = time.perf_counter()
    with Client(server.url) as client:
        for number, _ in enumerate(client.iter_scores(endless), start=1):
            if number % (arguments.images // 10) == 0:
                rate = number / (time.perf_counter() - start)
                print(f"{number:9d}   {resident_mebibytes():12.1f}  {rate:6.0f}", flush=True)


def shared_memory(server: LocalServer, paths: Sequence[str], arguments: argparse.Namespace) -> None:
    """One request at a time, its bytes in the message or in a region of shared memory."""
    from tritonclient.utils import serialize_byte_tensor

    images = [Path(path).read_bytes() for path in paths[: arguments.batch_size]]
    array = np.array(images, np.object_).reshape(-1, 1)
    size = len(serialize_byte_tensor(array).item())
    region = system_shared_memory.create_shared_memory_region("images", "/iq_benchmark", size)
    try:
        with tritonclient.grpc.InferenceServerClient(server.url) as client:
            client.register_system_shared_memory("images", "/iq_benchmark", size)

            def in_message() -> None:
                tensor = tritonclient.grpc.InferInput("IMAGE", [len(images), 1], "BYTES")
                tensor.set_data_from_numpy(array)
                client.infer(MODEL_NAME, [tensor])

            def beside_it() -> None:
                serialized = serialize_byte_tensor(array)
                system_shared_memory.set_shared_memory_region(region, [serialized])
                tensor = tritonclient.grpc.InferInput("IMAGE", [len(images), 1], "BYTES")
                tensor.set_shared_memory("images", size)
                client.infer(MODEL_NAME, [tensor])

            times: dict[Any, list[float]] = {in_message: [], beside_it: []}
            for number in range(10 * arguments.rounds + 1):
                for action, collected in times.items():
                    seconds, _ = timed(action)
                    if number:
                        collected.append(seconds)
            client.unregister_system_shared_memory()
        for action, collected in times.items():
            print(f"{action.__name__:12s} {statistics.median(collected) * 1e3:8.2f} ms/request")
        print(f"{len(images)} images, {size / 2**20:.1f} MiB in a request")
    finally:
        system_shared_memory.destroy_shared_memory_region(region)


def drift(server: LocalServer, paths: Sequence[str], arguments: argparse.Namespace) -> None:
    """Mean scores of the same photos with and without `shrink_to`."""
    with Client(server.url) as client:
        full = client.score_images(paths, raise_on_error=True)
    size = sum(Path(path).stat().st_size for path in paths)
    means = [score.mean for score in full]
    print(
        f"{len(paths)} photos, {size / len(paths) / 1e6:.2f} MB each; their means have a standard"
    )
    print(f"deviation of {statistics.pstdev(means):.2f}")
    print("shrink_to  mean |Δ|  largest |Δ|  MB each")
    for side in (512, 768, 1024, 1536, 2048):
        with Client(server.url, shrink_to=side) as client:
            small = client.score_images(paths, raise_on_error=True)
        moved = [abs(a.mean - b.mean) for a, b in zip(full, small, strict=True)]
        sent = sum(len(shrink(Path(path).read_bytes(), side)) for path in paths)
        print(
            f"{side:9d}  {statistics.mean(moved):8.3f}  {max(moved):11.3f}  "
            f"{sent / len(paths) / 1e6:7.2f}"
        )


def encodings(arguments: argparse.Namespace) -> None:
    """Time to encode, and to decode again as the server does, and bytes, of photos at 2000x1600."""
    pictures = []
    for source in expand(arguments.photo):
        with Image.open(io.BytesIO(source.load())) as image:
            pictures.append(image.convert("RGB").resize((2000, 1600)))
    print("encoding  encode ms  decode ms      MB")
    for encoding in get_args(ArrayEncoding):
        files: list[bytes] = []
        spent = []
        for action in (
            lambda: files.extend(encode_image(picture, encoding) for picture in pictures),  # noqa: B023
            lambda: [Image.open(io.BytesIO(data)).load() for data in files],  # noqa: B023
        ):
            spent.append(timed(action)[0] / len(pictures) * 1e3)
        size = sum(map(len, files)) / len(files) / 1e6
        print(f"{encoding:8s}  {spent[0]:9.1f}  {spent[1]:9.1f}  {size:6.2f}")


@contextlib.contextmanager
def photos(arguments: argparse.Namespace) -> Iterator[list[str]]:
    """The paths to send: those given, else files of `--size` bytes."""
    if arguments.photo:
        named = [source.name for source in expand(arguments.photo)]
        repeated = itertools.islice(itertools.cycle(named), arguments.count)
        yield named if arguments.benchmark == "drift" else list(repeated)
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number in range(min(arguments.count, 1000)):
            path = Path(folder) / f"{number}.jpg"
            path.write_bytes(os.urandom(arguments.size))
            paths.append(str(path))
        yield list(itertools.islice(itertools.cycle(paths), arguments.count))


def main() -> None:
    """Reads the command line and runs one benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = {
        "compare": compare,
        "sweep": sweep,
        "memory": memory,
        "shared-memory": shared_memory,
        "overhead": overhead,
        "drift": drift,
        "encodings": encodings,
    }
    parser.add_argument("benchmark", choices=actions)
    parser.add_argument("photo", nargs="*", help="photos, folders or patterns to send")
    parser.add_argument("--model-repository", type=Path, default=STUB)
    parser.add_argument("--size", type=int, default=100_000, help="bytes of an image made up")
    parser.add_argument("--count", type=int, default=3200, help="images of one run")
    parser.add_argument("--images", type=int, default=1_000_000, help="images of `memory`")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_intermixed_args()
    print(f"# {' '.join(sys.argv)}")
    if arguments.benchmark in ("drift", "encodings") and not arguments.photo:
        parser.error(f"{arguments.benchmark} needs photos")
    if arguments.benchmark in ("overhead", "encodings"):
        cast("Any", actions[arguments.benchmark])(arguments)
        return
    action = cast("Any", actions[arguments.benchmark])
    with (
        LocalServer(arguments.model_repository, allow=("shared-memory",)) as server,
        photos(arguments) as paths,
    ):
        action(server, paths, arguments)


if __name__ == "__main__":
    main()
