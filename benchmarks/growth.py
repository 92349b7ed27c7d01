"""Costs as they grow: requests in flight, photos of a run, megapixels, and memory of each process.

    python benchmarks/growth.py [PHOTO…] [--largest 100000]

Requests in flight and megapixels through the embedded server; the number of photos through a model
that takes a checksum, because what grows with it is the client.
"""

from __future__ import annotations

import argparse
import io
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from client import STUB, resident_mebibytes
from measure import machine, table, versions
from PIL import Image
from serving import PACKAGES, REPOSITORY, chosen_paths
from soak import model_processes, resident

from iq_client import Client, LocalServer

IN_FLIGHT: Final = (1, 2, 4, 8, 16, 32, 64)
MEGAPIXELS: Final = (0.1, 1, 12, 50, 100)
BATCH: Final = 8
TRIES: Final = 3
MEMORY: Final = ("Triton MiB", "model MiB", "client MiB")


def seconds(run: Callable[[], object]) -> float:
    """The median time of some runs."""
    taken = []
    for _ in range(TRIES):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def memory(server: LocalServer) -> tuple[str, str, str]:
    """Resident MiB of Triton, of its model's process, and of this one."""
    models = sum(map(resident, model_processes(server)))
    return f"{resident(server.pid):.0f}", f"{models:.0f}", f"{resident_mebibytes():.0f}"


def by_in_flight(server: LocalServer, photos: Sequence[str]) -> str:
    """Requests of a few photos, ever more of them in flight."""
    rows = []
    for width in IN_FLIGHT:
        with Client(server.url, batch_size=BATCH, in_flight=width) as client:
            chosen = list(itertools.islice(itertools.cycle(photos), BATCH * max(2 * width, 16)))
            client.score_images(chosen[:BATCH])
            taken = seconds(lambda: client.score_images(chosen, raise_on_error=True))  # noqa: B023
        rows.append((width, f"{1e3 * taken / len(chosen):.1f}", *memory(server)))
    return table((f"requests of {BATCH} in flight", "ms per photo", *MEMORY), rows)


def by_megapixels(server: LocalServer, photo: str) -> str:
    """One photo, ever larger."""
    rows = []
    with Image.open(photo) as image, Client(server.url) as client:
        rgb = image.convert("RGB")
        for number in MEGAPIXELS:
            factor = (1e6 * number / (rgb.width * rgb.height)) ** 0.5
            size = (round(factor * rgb.width), round(factor * rgb.height))
            buffer = io.BytesIO()
            rgb.resize(size).save(buffer, "JPEG", quality=90)
            data = buffer.getvalue()
            client.score_images(data)
            taken = seconds(lambda: client.score_images(data, raise_on_error=True))  # noqa: B023
            cells = (f"{number:g}", f"{len(data) / 1e6:.1f}", f"{1e3 * taken:.0f}")
            rows.append((*cells, *memory(server)))
    return table(("megapixels", "MB", "ms, one photo", *MEMORY), rows)


def by_photos(photos: Sequence[str], largest: int) -> str:
    """Ever longer runs through one client."""
    rows = []
    count = 100
    with LocalServer(STUB) as server, Client(server.url) as client:
        while count <= largest:
            start = time.perf_counter()
            for _ in client.iter_scores(itertools.islice(itertools.cycle(photos), count)):
                pass
            taken = time.perf_counter() - start
            rows.append((f"{count}", f"{1e3 * taken / count:.2f}", f"{resident_mebibytes():.0f}"))
            count *= 10
    return table(("photos of a run", "ms per photo", "client MiB"), rows)


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", nargs="*", type=Path, default=[Path("examples/photos")])
    parser.add_argument("--largest", type=int, default=100_000, help="photos of the longest run")
    arguments = parser.parse_args()
    print(f"# {' '.join(sys.argv)}\n# {machine()}\n# {versions(*PACKAGES)}\n")
    photos = chosen_paths(arguments.photos, 24)
    with LocalServer(REPOSITORY) as server:
        print(by_in_flight(server, photos))
        print(by_megapixels(server, photos[0]))
    print(by_photos(photos, arguments.largest))


if __name__ == "__main__":
    main()
