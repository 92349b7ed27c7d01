"""The container's configuration on a CPU beside the embedded one, on the same cores.

    iq-tools serve --runtime onnxruntime --grpc-port=8001      # in Triton's container
    python benchmarks/stock.py PHOTO_OR_FOLDER… --url localhost:8001 [--rounds 5]

Clients that always wait ask both servers in turns. The one at `--url` runs on this machine and has
Triton's backend of ONNX Runtime, which the embedded server lacks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from measure import figure, in_turns, machine, ratio, table, versions
from serving import PACKAGES, REPOSITORY, chosen_paths

from iq_client import Client, LocalServer

CLIENTS: Final = 16
BATCH: Final = 8
STOCK, EMBEDDED = "container's", "embedded"


def measure(url: str, paths: Sequence[str], *, rounds: int) -> str:
    """Asks both in turns; returns a Markdown section."""
    with (
        LocalServer(REPOSITORY) as server,
        Client(url, batch_size=BATCH, in_flight=CLIENTS) as stock,
        Client(server.url, batch_size=BATCH, in_flight=CLIENTS) as embedded,
    ):
        results = in_turns(
            {
                STOCK: (lambda: stock.score_images(paths, raise_on_error=True), len(paths)),
                EMBEDDED: (lambda: embedded.score_images(paths, raise_on_error=True), len(paths)),
            },
            rounds,
        )
    rows = [(name, f"{result.milliseconds:.1f}") for name, result in results.items()]
    speed = ratio(results[EMBEDDED], results[STOCK])
    name = f"the container's configuration / the embedded one, {CLIENTS} clients"
    return table(("configuration", "ms per photo"), rows) + figure(name, f"{speed:.2f}", "1.00")


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", nargs="+", type=Path, help="files and folders")
    parser.add_argument("--url", required=True, help="gRPC address of the container")
    parser.add_argument("--count", type=int, default=384, help="photos of a round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(f"# {' '.join(sys.argv)}\n# {machine()}\n# {versions(*PACKAGES)}\n")
    paths = chosen_paths(arguments.photos, arguments.count)
    print(measure(arguments.url, paths, rounds=arguments.rounds))


if __name__ == "__main__":
    main()
