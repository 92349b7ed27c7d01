"""Comparison of losses that tune a NIMA tower: contrastive, signed, signed with the votes' EMD.

    python benchmarks/training/ablation.py PHOTOS… --weights FILE -o OUTPUT

Everything but the loss is the same: the start, the photos, the pairs, the number of steps, and the
seeds over which the numbers are averaged. Each photo comes as it is and under distortions of every
kind. Its votes are what the start says of it; a distortion of level 1…4 tilts them so that their
mean falls by `DROP` a level, and changes them no more than that takes (the tilt that is nearest in
relative entropy). So the right order, its size and the whole distribution are known; photos that
are held out share nothing with those learnt from. Writes `ablation.json`, prints a table.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
from rich.console import Console
from scipy.optimize import brentq

from iq_serving.contract import VOTES
from iq_serving.preprocessing import load_pixels
from siamese_nima.config import PhaseConfig
from siamese_nima.data import DataConfig, inspect
from siamese_nima.data.decoding import decode
from siamese_nima.data.distortions import DISTORTIONS, LEVELS, distort, working_picture
from siamese_nima.data.photos import find_photos, split_by_content
from siamese_nima.distribution import mean_opinion_score
from siamese_nima.evaluate.metrics import (
    bootstrap,
    interval,
    mean_emd,
    ordered_pairs,
    pair_hits,
    spearman,
)
from siamese_nima.towers.parts import judged_part
from siamese_nima.towers.registry import HEAD_LAYER, build_tower, get_tower
from siamese_nima.towers.weights import load_weights
from siamese_nima.train.batches import label
from siamese_nima.train.checkpoint import read_position
from siamese_nima.train.config import SetConfig, TrainConfig
from siamese_nima.train.epoch import LAST_FILE, STATE_FILE
from siamese_nima.train.feeds import pixel_learner
from siamese_nima.train.objective import LossWeights
from siamese_nima.train.run import train

Floats = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.int64]
# From distributions [N,10] and how often each photo was drawn to a number.
Metric = Callable[[Floats, Indices], float]

LOSSES: Final = {
    "contrastive": LossWeights(contrastive=1.0),
    "signed": LossWeights(logistic=1.0),
    "signed + EMD": LossWeights(logistic=1.0, emd=1.0),
}
TOWER: Final = "mobilenet"
INTERPOLATION: Final = "nearest"  # what the published weights were trained with
DROP: Final = 0.5  # votes that the mean falls by a level
LOWEST_MEAN: Final = 1.5
RUNGS: Final = 2  # levels of each kind, drawn
HELD_OUT_SHARE: Final = 0.3
GAPS: Final = (0.0, 0.5, 1.0, 2.0, 9.0)  # edges of the gaps between two labels, in votes


def main() -> None:
    """Makes the photos, trains, judges."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path, required=True, help=f"of NIMA on {TOWER}")
    parser.add_argument("--output", "-o", type=Path, required=True)
    parser.add_argument("--count", type=int, default=150, help="photos, evenly from all")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    console = Console(stderr=True)
    start = Start(options.weights)
    every = find_photos(options.photos)
    chosen = every[:: max(1, len(every) // options.count)][: options.count]
    sides = split_by_content(chosen, HELD_OUT_SHARE)
    if not all(sides):
        parser.error(f"{len(chosen)} photos are too few: one side of the split is empty")
    for name, photos in zip(("learn", "judge"), sides, strict=True):
        if not (options.output / f"{name}.json").exists():
            console.print(f"{name}: {len(photos)} photos and {len(DISTORTIONS) * RUNGS} of each")
            make_set(photos, options.output / name, start)
    held_out = _data(options.output / "judge")
    judged = Judged(held_out)
    predictions = {"before": [judged.predict(options.weights)]}
    for name, loss in LOSSES.items():
        predictions[name] = []
        for seed in range(options.seeds):
            learnt = SetConfig(
                "learnt", _data(options.output / "learn"), loss, pairing="all", held_out=held_out
            )
            config = TrainConfig(
                tower=TOWER,
                weights=str(options.weights),
                output=options.output / f"{name.replace(' + ', '_').lower()}_{seed}",
                sets=(learnt,),
                head=PhaseConfig(epochs=1, learning_rate=1e-3),
                body=PhaseConfig(epochs=options.epochs, learning_rate=3e-4),
                interpolation=INTERPOLATION,
                patience=options.epochs,
                seed=seed,
                cache_features=True,
                features=options.output / "features",
            )
            console.print(f"{name}, seed {seed}")
            state = config.output / STATE_FILE
            done = len(read_position(state).log) if state.exists() else 0
            if done < config.head.epochs + config.body.epochs:
                train(config, resume=True, console=console)
            predictions[name].append(judged.predict(config.output / LAST_FILE))
    report = judged.report(predictions)
    (options.output / "ablation.json").write_text(json.dumps(report, indent=2) + "\n")
    for line in table(report):
        print(line)


def _data(folder: Path) -> DataConfig:
    return DataConfig("histograms", folder, folder.with_suffix(".json"), file_column="image_id")


class Start:
    """Scores of the tower before it is tuned."""

    def __init__(self, weights: Path) -> None:
        """Loads the weights."""
        self._tower = get_tower(TOWER)
        model = build_tower(self._tower)
        load_weights(model, weights)
        self._predict = pixel_learner(self._tower, model).predictor(judged_part(model, HEAD_LAYER))

    def votes(self, photo: bytes) -> Floats:
        """The distribution of one photo, float64 [10]."""
        size = self._tower.image_size
        pixels = load_pixels(photo, image_size=size, interpolation=INTERPOLATION)
        distribution: Floats = self._predict(pixels[None])[0].numpy()[0].astype(np.float64)
        return distribution


def make_set(photos: Sequence[Path], folder: Path, start: Start) -> None:
    """Writes photos, distorted ones and the file of votes.

    Args:
        photos: Files.
        folder: For the pictures, as PNG; the votes go to `folder` with the suffix `.json`.
        start: Votes on the undistorted photos.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, photo in enumerate(photos):
        data = photo.read_bytes()
        rng = np.random.default_rng(number)
        picture, votes = working_picture(data), start.votes(data)
        rungs = [("original", 0)] + [
            (kind, int(level))
            for kind in DISTORTIONS
            for level in rng.choice(np.arange(1, len(LEVELS) + 1), RUNGS, replace=False)
        ]
        for kind, level in rungs:
            shown = distort(picture, kind, LEVELS[level - 1], rng) if level else picture
            name = f"{number}_{kind}_{level}.png"
            shown.save(folder / name, compress_level=1)
            entries.append({"image_id": name, "label": tilted(votes, DROP * level).tolist()})
    folder.with_suffix(".json").write_text(json.dumps(entries))


def tilted(votes: Floats, drop: float) -> Floats:
    """The distribution nearest in relative entropy whose mean is lower by `drop`.

    It is p_i·exp(-λi), normalised (Csiszár 1975); λ is found by bisection.

    Args:
        votes: A distribution [10].
        drop: By how much the mean falls, 0 or above; it stays above `LOWEST_MEAN`.

    Returns:
        A distribution [10].
    """
    wanted = max(LOWEST_MEAN, float(mean_opinion_score(votes)) - drop)

    def tilt(slope: float) -> Floats:
        weights = votes * np.exp(-slope * np.array(VOTES))
        shares: Floats = weights / weights.sum()
        return shares

    if drop == 0:
        return votes
    return tilt(brentq(lambda slope: float(mean_opinion_score(tilt(slope))) - wanted, -1, 20))


class Judged:
    """The held-out pictures, and how distributions agree with their votes."""

    def __init__(self, config: DataConfig) -> None:
        """Reads and decodes them."""
        judged = SetConfig("judged", config, LossWeights())
        self._labels = label([(judged, inspect(config).samples)])
        samples = self._labels.samples
        size = get_tower(TOWER).image_size
        self._pixels = np.stack(
            [decode(each, image_size=size, interpolation=INTERPOLATION) for each in samples]
        )
        names = [each.path.name.split("_")[0] for each in samples]
        _, self._photo = np.unique(names, return_inverse=True)
        score = self._labels.score
        self._better, self._worse = ordered_pairs(score, np.zeros(len(score), np.int64))

    def predict(self, weights: Path) -> Floats:
        """Distributions of the pictures [N,10]."""
        keras.backend.clear_session()
        tower = get_tower(TOWER)
        model = build_tower(tower)
        load_weights(model, weights)
        predict = pixel_learner(tower, model).predictor(judged_part(model, HEAD_LAYER))
        batches = np.array_split(self._pixels, max(1, len(self._pixels) // 32))
        return np.concatenate([predict(batch)[0].numpy() for batch in batches])

    def report(self, predictions: dict[str, list[Floats]]) -> dict[str, Any]:
        """Metrics of each loss, means over its seeds, with 95 % intervals over photos."""
        score, votes = self._labels.score, self._labels.votes
        metrics: dict[str, Metric] = {"pairwise": self._pairwise(0.0, math.inf)}
        for low, high in pairwise(GAPS):
            metrics[f"gap {low:g}–{high:g}"] = self._pairwise(low, high)
        metrics["srcc"] = self._pictures(
            lambda predicted, rows: spearman(score[rows], mean_opinion_score(predicted[rows]))
        )
        metrics["emd"] = self._pictures(
            lambda predicted, rows: mean_emd(votes[rows], predicted[rows])
        )
        return {
            "photos": int(self._photo.max()) + 1,
            "pictures": len(self._pixels),
            "losses": {
                loss: {name: self._interval(runs, metric) for name, metric in metrics.items()}
                for loss, runs in predictions.items()
            },
        }

    def _interval(self, runs: list[Floats], metric: Metric) -> dict[str, float]:
        """The pictures of a photo are drawn together."""
        count = int(self._photo.max()) + 1

        def mean(drawn: Indices) -> float:
            times = np.bincount(drawn, minlength=count)
            return float(np.mean([metric(predicted, times) for predicted in runs]))

        low, high = interval(bootstrap(mean, count, resamples=200, seed=0))
        return {"value": mean(np.arange(count)), "low": low, "high": high}

    def _pictures(self, function: Callable[[Floats, Indices], float]) -> Metric:
        """A metric of predictions and rows; a row comes as often as its photo was drawn."""

        def metric(predicted: Floats, times: Indices) -> float:
            return function(predicted, np.repeat(np.arange(len(predicted)), times[self._photo]))

        return metric

    def _pairwise(self, low: float, high: float) -> Metric:
        """Pairwise accuracy where the labels differ by more than `low`, at most by `high`."""
        gap = self._labels.score[self._better] - self._labels.score[self._worse]
        chosen = (gap > low) & (gap <= high)
        better, worse = self._better[chosen], self._worse[chosen]
        first, second = self._photo[better], self._photo[worse]

        def metric(predicted: Floats, times: Indices) -> float:
            # A pair inside one photo is drawn with it.
            weight = np.where(first == second, times[first], times[first] * times[second])
            hits = pair_hits(mean_opinion_score(predicted), better, worse)
            return float(np.average(hits, weights=weight)) if weight.any() else math.nan

        return metric


def table(report: dict[str, Any]) -> list[str]:
    """The report as a Markdown table."""
    names = list(next(iter(report["losses"].values())))
    lines = [f"| loss | {' | '.join(names)} |", "| --- |" + " --- |" * len(names)]
    for loss, metrics in report["losses"].items():
        cells = [
            f"{each['value']:.3f} ({each['low']:.3f}–{each['high']:.3f})"
            for each in metrics.values()
        ]
        lines.append(f"| {loss} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
