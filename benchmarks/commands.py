"""Waits of a user at the terminal: the import, the first row, and ten thousand small files.

    python benchmarks/commands.py [PHOTO…] [--rounds 5] [--files 10000]

- `import iq_client` beside an empty Python;
- `iq-client rank` of 18 photos with a server that it starts itself, until its first row is there;
- `iq-client rank` of a folder of small JPEGs on a server that runs, beside the same decoding and
  engine in one process without a server.
"""

from __future__ import annotations

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from measure import figure, in_turns, machine, ratio, versions
from PIL import Image
from serving import PACKAGES, REPOSITORY, Raw, chosen_paths

from iq_client import LocalServer
from iq_serving.machine import keep_freed_memory, usable_cores

COMMAND: Final = str(Path(sys.executable).with_name("iq-client"))
FIRST: Final = 18
SMALL: Final = (320, 240)
BATCH: Final = 4


def import_seconds(rounds: int) -> float:
    """Seconds that `import iq_client` adds to a Python that does nothing; the median of pairs."""

    def run(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    return statistics.median(run("import iq_client") - run("") for _ in range(rounds + 1))


def first_row_seconds(photos: Sequence[str]) -> float:
    """Seconds until `iq-client rank` shows its first row, its server started by itself."""
    start = time.perf_counter()
    with subprocess.Popen(
        [
            COMMAND,
            "rank",
            "--local",
            "--model-repository",
            str(REPOSITORY),
            "--format",
            "csv",
            *photos,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # names of the columns
        if not process.stdout.readline():
            raise SystemExit("iq-client rank gave no row")
        taken = time.perf_counter() - start
        process.stdout.read()
    return taken  # fmt: skip


def make_small(photos: Sequence[str], folder: Path, count: int) -> list[str]:
    """So many small JPEGs with different bytes."""
    shrunk = []
    for photo in photos:
        with Image.open(photo) as image:
            buffer = io.BytesIO()
            image.convert("RGB").resize(SMALL).save(buffer, "JPEG", quality=85)
        shrunk.append(buffer.getvalue())
    paths = []
    for number in range(count):
        path = folder / f"{number:06}.jpg"
        # Behind a JPEG's end nothing is decoded.
        path.write_bytes(shrunk[number % len(shrunk)] + number.to_bytes(4, "little"))
        paths.append(str(path))
    return paths


def small_files(photos: Sequence[str], count: int, rounds: int) -> float:
    """Speed of `rank` on a folder of small JPEGs relative to the same work without a server."""
    cores = usable_cores()
    raw = Raw(REPOSITORY, 1)
    with tempfile.TemporaryDirectory() as name, LocalServer(REPOSITORY) as server:
        paths = make_small(photos, Path(name), count)
        command = [COMMAND, "rank", "--url", server.url, "--format", "csv", name]
        results = in_turns(
            {
                "rank": (partial(subprocess.run, command, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, check=True), count),
                "raw": (partial(raw.together, paths, BATCH, cores), count),
            },
            rounds,
        )  # fmt: skip
    return ratio(results["raw"], results["rank"])


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", nargs="*", type=Path, default=[Path("examples/photos")])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--file-rounds", type=int, default=1, help="rounds of all files, and one")
    arguments = parser.parse_args()
    print(f"# {' '.join(sys.argv)}\n# {machine()}\n# {versions(*PACKAGES)}")
    keep_freed_memory()
    photos = chosen_paths(arguments.photos, FIRST)
    print(figure("import iq_client", f"{import_seconds(arguments.rounds):.2f} s", "0.15 s or less"))
    first = statistics.median(first_row_seconds(photos) for _ in range(arguments.rounds))
    print(
        figure(
            f"iq-client rank of {FIRST} photos, cold, first row", f"{first:.1f} s", "1.5 s or less"
        )
    )
    speed = small_files(photos, arguments.files, arguments.file_rounds)
    name = f"{arguments.files} small JPEGs through rank / raw limit"
    print(figure(name, f"{speed:.2f}", "0.90"))


if __name__ == "__main__":
    main()
