"""The default tower in the precision that `iq-tools repository --precision auto` takes, beside f32.

    python benchmarks/precision.py [--calibration FOLDER] [--rounds 15]

One thread, batches of 4, in turns. Says why where f32 is what is taken.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from measure import figure, in_turns, machine, ratio, table, versions
from serving import REPOSITORY

from iq_serving.contract import F32, ONNX_FILE, PRECISIONS
from iq_serving.engines import ENGINES
from iq_serving.layout import served_place
from iq_tools.graph.int8 import spearman
from iq_tools.graph.tower import read_tower
from iq_tools.photos import read_photos
from iq_tools.precision import quickest

PACKAGES: Final = ("onnxruntime", "openvino")
BATCH: Final = 4
NAME: Final = "the tower in the precision of this processor / in f32"


def measure(calibration: Path | None, *, rounds: int) -> str:
    """Runs both in turns; returns a Markdown section."""
    graph = REPOSITORY / served_place(REPOSITORY).folder / ONNX_FILE
    tower = read_tower(graph)
    said: list[str] = []
    name, int8 = quickest(graph, tower, calibration, report=said.append)
    text = f"{said[-1]}.\n"
    if name == F32:
        return text + figure(NAME, "f32 was taken", "1.8x")
    with tempfile.TemporaryDirectory() as folder:
        chosen = graph
        if int8 is not None:
            chosen = Path(folder, ONNX_FILE)
            chosen.write_bytes(int8)
        runs = {
            F32: ENGINES[PRECISIONS[F32][0]](graph, 1, F32).apart,
            name: ENGINES[PRECISIONS[name][0]](chosen, 1, name).apart,
        }
        shape = (BATCH, *tower.image_size, 3)
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        mask = np.ones((BATCH, 1), np.float32)
        results = in_turns(
            {key: (partial(run, pixels, mask), BATCH) for key, run in runs.items()}, rounds
        )
        rows = [(key, f"{result.milliseconds:.1f}") for key, result in results.items()]
        text += "\n" + table(("precision", "ms per photo"), rows)
        text += figure(NAME, f"{ratio(results[F32], results[name]):.2f}x", "1.8x")
        if calibration is not None:
            photos = read_photos(calibration, tower)
            means = [
                np.concatenate([run(photo[np.newaxis], mask[:1])[1][:, 0] for photo in photos])
                for run in runs.values()
            ]
            text += figure("Spearman of its means with f32", f"{spearman(*means):.4f}", "0.995")
    return text


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calibration", type=Path, help="real photos, for int8 and for the order")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    print(f"# {' '.join(sys.argv)}\n# {machine()}\n# {versions(*PACKAGES)}\n")
    print(measure(arguments.calibration, rounds=arguments.rounds))


if __name__ == "__main__":
    main()
