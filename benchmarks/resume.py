"""Memory that an earlier run's rows take when it is resumed: bytes a row, and rows a second.

    python benchmarks/resume.py --rows 1000000

Of a run in which every photo is known.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from client import resident_mebibytes

from iq_client import Call, Client, Score, ServerInfo
from iq_client.cli.resume import ResumeOptions, kept
from iq_client.cli.scoring import Outcome, scores
from iq_client.formats import FileFormat, open_writer
from iq_client.images.source import Source


class NothingNew:
    """A transport that must not be asked for a score."""

    def check(self, timeout: float | None) -> int:
        """Always."""
        return 64

    def score(self, images: Sequence[bytes], names: Sequence[str], call: Call) -> list[Score]:
        """No photo is new."""
        raise AssertionError(f"{names[0]} was scored again")

    def server_info(self, timeout: float | None) -> ServerInfo:
        """A server without a tower."""
        return ServerInfo("", "none", "0", (), "nima", (), "none", 64)

    def close(self) -> None:
        """Nothing is open."""


class Peak:
    """The highest resident memory of this process, in MiB, seen every hundredth of a second."""

    def __init__(self) -> None:
        self.value = resident_mebibytes()
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            self.value = max(self.value, resident_mebibytes())

    def end(self) -> float:
        """Ends the watching; gives the peak."""
        self._ended.set()
        return self.value


def names(rows: int) -> Iterator[str]:
    """Sources as long as those of a large collection."""
    return (f"s3://a-bucket/photos/2026/11/{number:09d}.jpg" for number in range(rows))


def write(path: Path, file_format: FileFormat, rows: int) -> None:
    """Writes a file of scores."""
    distribution = tuple(number / 55 + 1e-9 for number in range(1, 11))
    with path.open("wb") as stream, open_writer(file_format, stream) as write_row:
        for name in names(rows):
            write_row(Score(name, 7.0, 2.44948, distribution).to_dict())


def measure(file_format: FileFormat, rows: int) -> tuple[float, float]:
    """Bytes of memory and seconds a row of a run in which every photo is known."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Client(transport=NothingNew()) as client,
    ):
        path = Path(folder, f"scores.{file_format}")
        # What is loaded and allocated once is not a row's.
        for number in (100, rows):
            write(path, file_format, number)
            before, watched = resident_mebibytes(), Peak()
            start = time.perf_counter()
            sources = (Source(name, bytes) for name in names(number))
            with (
                kept(ResumeOptions(path, mix_towers=False), client) as earlier,
                scores(client, sources, countable=False, kept=earlier, outcome=Outcome()) as found,
            ):
                assert sum(score.ok for score in found) == number
            seconds = time.perf_counter() - start
            grown = watched.end() - before
    return grown * 2**20 / rows, seconds / rows


def main() -> None:
    """Reads the command line and measures both formats."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--format", choices=("jsonl", "parquet"), nargs="+", default=["jsonl"])
    arguments = parser.parse_args()
    print(f"# {' '.join(sys.argv)}")
    print("format   bytes/row  µs/row")
    for file_format in arguments.format:
        memory, seconds = measure(file_format, arguments.rows)
        print(f"{file_format:8s} {memory:9.1f} {seconds * 1e6:7.1f}", flush=True)


if __name__ == "__main__":
    main()
