"""An epoch with the frozen part computed in every step, and with its features kept on disk.

    python benchmarks/training/cached_features.py PHOTOS [--tower inception_resnet_v2] …

PHOTOS is a folder; so many of its photos, each under every distortion, are an epoch. Both ways are
run one after the other in one process from the same random weights, for some epochs each; the
first epoch, which compiles, is left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

from siamese_nima.config import PhaseConfig
from siamese_nima.data import DataConfig
from siamese_nima.data.photos import find_photos
from siamese_nima.train.config import SetConfig, TrainConfig
from siamese_nima.train.objective import LossWeights
from siamese_nima.train.run import train


def main() -> None:
    """Runs both and prints seconds and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--tower", default="inception_resnet_v2")
    parser.add_argument("--freeze-through", default="", help="default: the tower's own")
    parser.add_argument("--count", type=int, default=4, help="photos to learn from; half to judge")
    parser.add_argument("--epochs", type=int, default=3, help="at least 2")
    parser.add_argument("--batch-size", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = find_photos([options.photos])
        for side, chosen in (
            ("learn", photos[: options.count]),
            ("judge", photos[options.count : options.count + max(1, options.count // 2)]),
        ):
            (folder / side).mkdir()
            for photo in chosen:
                (folder / side / photo.name).symlink_to(photo.resolve())
        ladders = SetConfig(
            "ladders",
            DataConfig("distortions", folder / "learn"),
            LossWeights(logistic=1.0),
            batch_size=options.batch_size,
            held_out=DataConfig("distortions", folder / "judge"),
        )
        config = TrainConfig(
            tower=options.tower,
            weights="random",
            output=folder / "plain",
            sets=(ladders,),
            head=PhaseConfig(epochs=0, learning_rate=1e-3),
            body=PhaseConfig(epochs=options.epochs, learning_rate=1e-4),
            freeze_through=options.freeze_through,
            patience=options.epochs,
        )
        medians = {}
        for title, run in (
            ("computed in every step", config),
            (
                "kept on disk",
                dataclasses.replace(config, output=folder / "cached", cache_features=True),
            ),
        ):
            started = time.monotonic()
            log = train(run).log
            total = time.monotonic() - started
            seconds = [row["seconds"] for row in log]
            medians[title] = statistics.median(seconds[1:])
            print(
                f"{title}: epochs {', '.join(f'{each:.1f}' for each in seconds)} s, "
                f"median without the first {medians[title]:.2f} s; in all {total:.0f} s"
            )
        size = sum(path.stat().st_size for path in (folder / "cached/features").iterdir())
        plain, cached = medians.values()
        print(f"kept: {size / 2**20:.0f} MiB. An epoch is {plain / cached:.1f} times as fast")


if __name__ == "__main__":
    main()
