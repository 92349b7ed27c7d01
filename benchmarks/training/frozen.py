"""A model whose weights no longer change: run by Keras, and by what `compile_frozen` makes of it.

    python benchmarks/training/frozen.py [--tower mobilenet] [--batch-size 64] [--rounds 5]

Both run the same random pixels in turns in one process, so that what else the machine does falls
on both.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from siamese_nima.frozen import compile_frozen
from siamese_nima.towers.registry import build_tower, get_tower


def main() -> None:
    """Prints images a second of both and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tower", action="append", help="default: mobilenet, efficientnet_lite0")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for name in options.tower or ["mobilenet", "efficientnet_lite0"]:
        tower = get_tower(name)
        model = build_tower(tower)
        pixels = np.random.default_rng(0).uniform(-1, 1, (options.batch_size, *tower.image_size, 3))
        batch = pixels.astype(np.float32)
        ways = {"Keras": model.predict_on_batch, "compile_frozen": compile_frozen(model)}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(options.rounds + 1):
            for way, run in ways.items():
                started = time.perf_counter()
                run(batch)
                seconds[way].append(time.perf_counter() - started)
        # The first round compiles.
        keras, frozen = (statistics.median(each[1:]) for each in seconds.values())
        print(
            f"{name}: Keras {options.batch_size / keras:.0f} images/s, "
            f"compile_frozen {options.batch_size / frozen:.0f}, ratio {keras / frozen:.2f}"
        )


if __name__ == "__main__":
    main()
