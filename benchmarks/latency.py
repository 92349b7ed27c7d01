"""One photo at a time through a warm server, beside decoding and computing it alone.

    python benchmarks/latency.py PHOTO_OR_FOLDER… [--count 200]

Both in turns on the same photos, all cores free for each: the server is asked by the SDK, and the
same decoder and engine run in this process.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from measure import figure, machine, table, versions
from serving import PACKAGES, REPOSITORY, Raw, chosen_paths

from iq_client import Client, LocalServer
from iq_serving.machine import keep_freed_memory, usable_cores

SERVED: Final = "through the server"
ALONE: Final = "decoded and computed alone"


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def measure(paths: Sequence[str]) -> str:
    """Times every photo both ways; returns a Markdown section."""
    keep_freed_memory()
    raw = Raw(REPOSITORY, usable_cores())
    with LocalServer(REPOSITORY) as server, Client(server.url) as client:
        ways: dict[str, Callable[[str], object]] = {
            SERVED: lambda path: client.score_images(path, raise_on_error=True),
            ALONE: lambda path: raw.score([raw.decode(path)]),
        }
        for way in ways.values():
            for path in paths[:10]:
                way(path)
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for number, path in enumerate(paths):
            for name in list(ways)[:: 1 if number % 2 else -1]:
                start = time.perf_counter()
                ways[name](path)
                taken[name].append(1e3 * (time.perf_counter() - start))
    rows = [
        (name, f"{percentile(values, 50):.1f}", f"{percentile(values, 99):.1f}")
        for name, values in taken.items()
    ]
    text = table(("one photo", "p50 ms", "p99 ms"), rows)
    for percent in (50, 99):
        times = percentile(taken[SERVED], percent) / percentile(taken[ALONE], percent)
        text += figure(
            f"one photo through the server / alone, p{percent}", f"{times:.2f}x", "1.15x or less"
        )
    return text


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", nargs="+", type=Path, help="files and folders")
    parser.add_argument("--count", type=int, default=200)
    arguments = parser.parse_args()
    print(f"# {' '.join(sys.argv)}\n# {machine()}\n# {versions(*PACKAGES)}\n")
    print(measure(chosen_paths(arguments.photos, arguments.count)))


if __name__ == "__main__":
    main()
