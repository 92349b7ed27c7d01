"""Images a second of the input pipeline alone, of the step alone, and of both together.

    python training/benchmarks/input_pipeline.py PHOTOS [--tower mobilenet] [--form plain] …

The step is fed by the pipeline; where both together are slower than the slower of the two, they
wait for each other. Every round measures all three in turn, so that what else the machine does
touches them alike; the medians of the rounds are compared. The first epoch decodes every photo,
later ones find what fits into `pixel_cache_mib` in memory.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from siamese_nima.config import Stage
from siamese_nima.data import DataConfig, Sample, inspect
from siamese_nima.labelled import LabelledSet
from siamese_nima.learner import pixel_feed, pixel_learner
from siamese_nima.objective import LossWeights
from siamese_nima.photos import find_photos
from siamese_nima.replicas import open_replicas
from siamese_nima.schedule import adamw
from siamese_nima.step import build_step
from siamese_nima.towers import build_tower, freeze, frozen_depth, get_tower


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--tower", default="mobilenet")
    parser.add_argument("--form", choices=["plain", "distortions"], default="distortions")
    parser.add_argument("--images", type=int, default=300, help="images an epoch")
    parser.add_argument("--batch-size", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    labelled = LabelledSet(_samples(options))
    tower = get_tower(options.tower)
    model = build_tower(tower)
    freeze(model, frozen_depth(model, tower.freeze_through))
    learner = pixel_learner(tower, model)
    optimizer = adamw(Stage(epochs=1, learning_rate=1e-4), 10**6)
    optimizer.build(model.trainable_variables)
    step = build_step(
        model,
        learner.prepare,
        learner.inputs,
        optimizer,
        LossWeights(logistic=1.0),
        "all",
        open_replicas("none"),
    )
    rows = np.arange(options.images)
    mirrored = np.zeros(len(rows), np.bool_)

    def learn(batches: Iterable[tuple[Any, Any]]) -> None:
        for batch_rows, pixels in batches:
            batch = labelled.batch(batch_rows.numpy())
            float(step(pixels, batch.score, batch.bucket, batch.group, batch.votes)["loss"])

    def feed(cache_mib: int) -> Callable[[], Any]:
        made = pixel_feed(
            labelled.samples,
            tower.image_size,
            "bilinear",
            workers=options.workers,
            cache_mib=cache_mib,
        )
        return lambda: made(rows, mirrored, options.batch_size)

    decoding, keeping = feed(0), feed(4096)
    in_memory = list(keeping())
    learn(in_memory[:1])  # compiles
    measured: dict[str, Callable[[], Any]] = {
        "step alone": lambda: learn(in_memory),
        "pipeline alone, first epoch": lambda: list(decoding()),
        "both, first epoch": lambda: learn(decoding()),
        "pipeline alone, later epochs": lambda: list(keeping()),
        "both, later epochs": lambda: learn(keeping()),
    }
    rates: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(options.rounds):
        for name, run in measured.items():
            started = time.monotonic()
            run()
            rates[name].append(len(rows) / (time.monotonic() - started))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, values in rates.items():
        listed = ", ".join(f"{each:.0f}" for each in values)
        print(f"{name:30}{medians[name]:8.1f} images/s   rounds: {listed}")
    for epoch in ("first epoch", "later epochs"):
        slower = min(medians["step alone"], medians[f"pipeline alone, {epoch}"])
        print(f"{epoch}: both run at {medians[f'both, {epoch}'] / slower:.2f} of the slower")


def _samples(options: argparse.Namespace) -> list[Sample]:
    """As many images as asked for: photos, or photos and their distortions."""
    photos = find_photos([options.photos])
    if options.form == "plain":
        return [Sample(photo, 0.0) for photo in (photos * options.images)[: options.images]]
    folder = DataConfig("distortions", options.photos)
    samples = inspect(folder).samples[: options.images]
    if len(samples) < options.images:
        raise SystemExit(f"{options.photos} holds photos for {len(samples)} images only")
    return samples


if __name__ == "__main__":
    main()
