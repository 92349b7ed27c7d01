"""The SDK and its server beside what a user would write: twenty lines, and Triton's own client.

    python benchmarks/peers.py PHOTO_OR_FOLDER… [--count 192] [--rounds 3]

In turns on the same photos and cores:

- the SDK and the embedded server;
- a loop of twenty lines: Pillow decodes, ONNX Runtime computes, one photo after the other;
- the pattern of tritonclient's `image_client`: the same server, one batch after the other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
import tritonclient.grpc
from measure import figure, in_turns, machine, ratio, table, versions
from PIL import Image
from serving import PACKAGES, REPOSITORY, chosen_paths

from iq_client import Client, LocalServer

SDK: Final = "the SDK and its server"
TWENTY_LINES: Final = "twenty lines of Pillow and ONNX Runtime"
IMAGE_CLIENT: Final = "tritonclient's image_client pattern, the same server"
BATCH: Final = 8


def twenty_lines(graph: Path) -> Callable[[Sequence[str]], list[float]]:
    """What a user would write without a server; returns its loop."""
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    height, width = session.get_inputs()[0].shape[1:3]
    mask = np.ones((1, 1), np.float32)

    def score(paths: Sequence[str]) -> list[float]:
        means = []
        for path in paths:
            photo = Image.open(path).convert("RGB").resize((width, height))
            pixels = np.asarray(photo)[np.newaxis]
            (mean,) = session.run(["MEAN"], {"PIXELS": pixels, "MASK": mask})
            means.append(float(mean[0, 0]))
        return means

    return score


def image_client(url: str, paths: Sequence[str]) -> list[float]:
    """A batch is read, sent and waited for, then the next."""
    means: list[float] = []
    with tritonclient.grpc.InferenceServerClient(url) as client:
        for start in range(0, len(paths), BATCH):
            files = [Path(path).read_bytes() for path in paths[start : start + BATCH]]
            tensor = tritonclient.grpc.InferInput("IMAGE", [len(files), 1], "BYTES")
            tensor.set_data_from_numpy(np.array(files, np.object_).reshape(-1, 1))
            means += client.infer("nima", [tensor]).as_numpy("MEAN")[:, 0].tolist()
    return means


def measure(paths: Sequence[str], *, rounds: int) -> str:
    """Runs the three in turns; returns a Markdown section."""
    loop = twenty_lines(REPOSITORY / "nima_tower" / "1" / "model.onnx")
    with LocalServer(REPOSITORY) as server, Client(server.url) as client:
        runs: dict[str, Callable[[], object]] = {
            SDK: lambda: client.score_images(paths, raise_on_error=True),
            TWENTY_LINES: lambda: loop(paths),
            IMAGE_CLIENT: lambda: image_client(server.url, paths),
        }
        results = in_turns({name: (run, len(paths)) for name, run in runs.items()}, rounds)
    rows = [
        (name, f"{result.milliseconds:.1f}", f"{ratio(result, results[SDK]):.2f}x")
        for name, result in results.items()
    ]
    text = table(("way", "ms per photo", "the SDK is as quick"), rows)
    for name in (TWENTY_LINES, IMAGE_CLIENT):
        text += figure(f"the SDK / {name}", f"{ratio(results[name], results[SDK]):.2f}x", "no less")
    return text


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", nargs="+", type=Path, help="files and folders")
    parser.add_argument("--count", type=int, default=192, help="photos of a round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"# {' '.join(sys.argv)}\n# {machine()}\n# {versions(*PACKAGES)}\n")
    print(measure(chosen_paths(arguments.photos, arguments.count), rounds=arguments.rounds))


if __name__ == "__main__":
    main()
