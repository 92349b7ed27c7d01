"""Images a second of the input pipeline alone, of the step alone, and of both together.

    python benchmarks/training/input_pipeline.py PHOTOS [--tower mobilenet] [--form plain] …

The step is fed by the pipeline. It should not wait for it: its waiting is printed as a share of the
time. On the processor both need the same cores, and can together come to no more than
1 / (1/step + 1/pipeline); on an accelerator only the waiting would be left.

Every round measures all of it in turn, so that what else the machine does touches everything alike;
medians over the rounds are printed. The first epoch decodes every photo, later ones find what fits
into `pixel_cache_mib` in memory.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from siamese_nima.config import PhaseConfig
from siamese_nima.data import DataConfig, Sample, inspect
from siamese_nima.data.photos import find_photos
from siamese_nima.towers.freezing import freeze, frozen_depth
from siamese_nima.towers.registry import build_tower, get_tower
from siamese_nima.train.batches import label
from siamese_nima.train.config import SetConfig
from siamese_nima.train.draws import whole
from siamese_nima.train.feeds import pixel_feed, pixel_learner
from siamese_nima.train.objective import LossWeights, Objective
from siamese_nima.train.replicas import open_replicas
from siamese_nima.train.schedule import adamw
from siamese_nima.train.step import build_step

STEP = "step alone"

# Starts an epoch of batches: rows and pixels.
Feeding = Callable[[], Iterable[tuple[Any, Any]]]


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
    folder = DataConfig("distortions", options.photos)
    photos = SetConfig("photos", folder, LossWeights(logistic=1.0))
    labelled = label([(photos, _samples(options))])
    tower = get_tower(options.tower)
    model = build_tower(tower)
    freeze(model, frozen_depth(model, tower.freeze_through))
    learner = pixel_learner(tower, model)
    optimizer = adamw(PhaseConfig(epochs=1, learning_rate=1e-4), 10**6)
    optimizer.build(model.trainable_variables)
    step = build_step(
        model,
        learner.prepare,
        learner.inputs,
        optimizer,
        [Objective(photos.name, photos.loss, photos.pairing)],
        open_replicas("none"),
    )
    draw = whole(np.arange(options.images))

    def drain(made: Feeding) -> float:
        for _ in made():
            pass
        return 0.0

    def learn(made: Feeding) -> float:
        """Trains one epoch; returns for how many seconds the step had no batch."""
        waited, ready = 0.0, time.monotonic()
        for rows, pixels in made():
            waited += time.monotonic() - ready
            float(step(pixels, labelled.batch(rows.numpy()))["loss"])
            ready = time.monotonic()
        return waited

    def feed(cache_mib: int) -> Feeding:
        made = pixel_feed(
            labelled.samples,
            tower.image_size,
            "bilinear",
            workers=options.workers,
            cache_mib=cache_mib,
        )
        return lambda: made(draw, options.batch_size)

    decoding, keeping = feed(0), feed(4096)
    in_memory = list(keeping())
    learn(lambda: in_memory[:1])  # compiles
    measured: dict[str, Callable[[], float]] = {STEP: partial(learn, lambda: in_memory)}
    for epoch, made in (("first epoch", decoding), ("later epochs", keeping)):
        measured[f"pipeline alone, {epoch}"] = partial(drain, made)
        measured[f"both, {epoch}"] = partial(learn, made)
    rounds = [
        {name: _measured(run, options.images) for name, run in measured.items()}
        for _ in range(options.rounds)
    ]
    for name in measured:
        rates = [each[name].rate for each in rounds]
        listed = ", ".join(f"{rate:.0f}" for rate in rates)
        print(f"{name:30}{statistics.median(rates):8.1f} images/s   rounds: {listed}")
    for epoch in ("first epoch", "later epochs"):
        of_slower, of_bound, waited = (
            statistics.median(values)
            for values in zip(*(_compared(each, epoch) for each in rounds), strict=True)
        )
        print(
            f"{epoch}: both run at {of_slower:.2f} of the slower, at {of_bound:.2f} of what shared "
            f"cores allow; the step waited for {waited:.1%} of the time"
        )


@dataclass(frozen=True, slots=True)
class _Measured:
    rate: float
    waited: float


def _measured(run: Callable[[], float], images: int) -> _Measured:
    """Images a second, and the share of the time in which the step had no batch."""
    started = time.monotonic()
    waited = run()
    seconds = time.monotonic() - started
    return _Measured(images / seconds, waited / seconds)


def _compared(measured: dict[str, _Measured], epoch: str) -> tuple[float, float, float]:
    """One round: both against the slower, and against shared cores; the share of waiting."""
    step, pipeline = measured[STEP].rate, measured[f"pipeline alone, {epoch}"].rate
    both = measured[f"both, {epoch}"]
    return (
        both.rate / min(step, pipeline),
        both.rate * (1 / step + 1 / pipeline),
        both.waited,
    )


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
