"""Processor time and memory of grouping, by the number of photos and by what is known of them.

    python benchmarks/grouping.py --photos 5000 10000 50000

Fingerprints are made, not read from photos: half of the photos are in bursts of five.

- `timed`: a burst every 20 seconds, as cameras write them.
- `untimed`: none has a time, so that pictures alone count.
- `alike`: none has a time, and all pictures are nearly the same, as in a time-lapse.
- `one clock`: all have the same time, as from a scanner.
- `panning`: exposures that never change and pictures that never repeat: what looks most like
  panoramas.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import numpy as np

from iq_client import Score
from iq_client.groups import Fingerprint, group_images
from iq_client.metadata.exif import Shot
from iq_client.sets import GREY_SIDE

START = datetime(2026, 5, 1)
BURST = 5  # photos, and as many photos alone behind it
CASES: dict[str, Callable[[int], Shot]] = {
    "timed": lambda n: Shot(START + timedelta(seconds=20 * (n // (2 * BURST)) + n % BURST / 2)),
    "untimed": lambda n: Shot(),
    "alike": lambda n: Shot(),
    "one clock": lambda n: Shot(START),
    "panning": lambda n: Shot(START + timedelta(seconds=n), "camera", 0.01, 5.6, 100.0),
}
ALIKE = np.uint64(2**16 - 1)  # bits that differ


def fingerprints(photos: int, case: str) -> list[Fingerprint]:
    """Photos of which every second five are near-identical."""
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**64, photos, np.uint64)
    twins = np.arange(photos) % (2 * BURST) < BURST
    hashes[twins] = hashes[np.arange(photos) // (2 * BURST) * 2 * BURST][twins]
    flips = random.integers(0, 64, photos, np.uint64)
    hashes[twins] ^= np.left_shift(np.uint64(1), flips)[twins]
    if case == "alike":
        hashes &= ALIKE
    made = []
    for number, bits in enumerate(hashes.tolist()):
        shot = CASES[case](number)
        grey = b"" if shot.exposure is None else random.bytes(GREY_SIDE**2)
        made.append(Fingerprint(bits, shot, grey))
    return made


def seconds(scores: Sequence[Score], prints: Sequence[Fingerprint]) -> float:
    """Processor time of one grouping: other work on the machine does not count."""
    start = time.process_time()
    group_images(scores, prints)
    return time.process_time() - start


def peak_mebibytes(scores: Sequence[Score], prints: Sequence[Fingerprint]) -> float:
    """The most memory that one grouping takes beside its fingerprints."""
    tracemalloc.start()
    group_images(scores, prints)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, nargs="+", default=[5_000, 10_000, 50_000])
    parser.add_argument("--case", choices=CASES, nargs="+", default=list(CASES))
    arguments = parser.parse_args()
    print(f"# {' '.join(sys.argv)}")
    print("photos    case       seconds   against the first   peak MiB")
    for case in arguments.case:
        first = None
        few = fingerprints(10, case)
        seconds([Score("", 5.0, 1.5, (0.1,) * 10)] * len(few), few)  # imports
        for photos in arguments.photos:
            prints = fingerprints(photos, case)
            scores = [Score(str(number), 5.0, 1.5, (0.1,) * 10) for number in range(photos)]
            taken = seconds(scores, prints)
            first = first or taken
            peak = peak_mebibytes(scores, prints)
            print(
                f"{photos:<9} {case:10} {taken:7.2f} {taken / first:15.1f} x {peak:12.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
