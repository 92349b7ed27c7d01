"""Processor time of towers, side by side: ONNX Runtime, f32, one thread.

    python benchmarks/towers.py FIRST.onnx SECOND.onnx… [--rounds 15]

Every round runs each tower once on the same pixels, in turn, so that a busy machine is as busy for
all of them. Prints the median milliseconds of processor time a photo, and its ratio to the first's.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime

from iq_serving.contract import MASK, PIXELS
from iq_tools.graph.tower import read_tower

BATCH: Final = 4


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("graphs", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    sessions, feeds = [], []
    for graph in asked.graphs:
        sessions.append(onnxruntime.InferenceSession(graph, options))
        shape = (BATCH, *read_tower(graph).image_size, 3)
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        feeds.append({PIXELS: pixels, MASK: np.ones((BATCH, 1), np.float32)})
    times: list[list[float]] = [[] for _ in sessions]
    for number in range(asked.rounds + 1):
        for session, feed, taken in zip(sessions, feeds, times, strict=True):
            began = time.process_time()
            session.run(None, feed)
            if number:  # the first one allocates
                taken.append(1000 * (time.process_time() - began) / BATCH)
    first = statistics.median(times[0])
    for graph, taken in zip(asked.graphs, times, strict=True):
        median = statistics.median(taken)
        print(f"{graph}: {median:.1f} ms a photo, {median / first:.2f} times the first")


if __name__ == "__main__":
    main()
