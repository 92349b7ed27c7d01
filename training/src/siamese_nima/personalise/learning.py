"""A taste learnt from judgements, and what it is worth on those held out.

Every judgement is held out once: a taste is learnt from the other folds and orders the one that is
left out. The taste that is given back has learnt from all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import onnx

from iq_serving.contract import Tower
from iq_serving.preprocessing import load_pixels
from siamese_nima.data import Sample
from siamese_nima.errors import DataError
from siamese_nima.evaluate.agreement import Metric, agreement, differences, within_noise
from siamese_nima.evaluate.metrics import ordered_pairs
from siamese_nima.personalise.graph import Looker, find_depths
from siamese_nima.personalise.judgements import Judgements
from siamese_nima.personalise.taste import Floats, Indices, Pairs, Taste, fit, tilted
from siamese_nima.progress import Progress, silent

FOLDS: Final = 5

_BATCH: Final = 16
_METRIC: Final = "pairwise"
_RESAMPLES: Final = 1000


@dataclass(frozen=True, slots=True)
class Gain:
    """Agreement with judgements, in pairs, none of which was learnt from.

    Attributes:
        before: Share of the pairs that the default tower orders right.
        after: The same with the taste.
        difference: `after` minus `before`, paired.
    """

    before: Metric
    after: Metric
    difference: Metric

    @property
    def proven(self) -> bool:
        """True where the interval of the difference lies above 0."""
        return self.difference.value > 0 and not within_noise(self.difference)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Photos as the default tower sees them.

    Attributes:
        features: What a taste reads of them, float64 [N,D].
        blocks: Number of features of each depth, D in all.
        logits: Of their distributions, float64 [N,10].
    """

    features: Floats
    blocks: tuple[int, ...]
    logits: Floats


def learn(
    judgements: Judgements,
    model: onnx.ModelProto,
    tower: Tower,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[Taste, Gain]:
    """Learns a taste.

    Args:
        judgements: What to learn from.
        model: The graph to begin from.
        tower: What it says of itself.
        seed: Of the bootstrap.
        progress: Wraps the batches of photos to show progress.

    Returns:
        The taste, and the gain on judgements held out.

    Raises:
        ConfigError: ONNX Runtime is not installed.
        DataError: The judgements cannot be split.
        WeightsError: The graph has nothing that a taste reads.
    """
    paths = list(dict.fromkeys(sample.path for sample in judgements.samples))
    seen = see(paths, model, tower, progress)
    row = {path: index for index, path in enumerate(paths)}
    folds = judgements.folds(FOLDS)
    pairs = _pairs(judgements, row, folds)
    rows = np.array([row[sample.path] for sample in judgements.samples])
    after = tilted(seen.logits[rows], np.zeros(len(rows)))
    before = after.copy()
    for fold in range(FOLDS):
        held_out = folds == fold
        learnt = pairs.where(pairs.fold != fold)
        if not len(learnt) or not held_out.any():
            raise DataError(
                "the judgements hang together in fewer groups than can be held out by turns: judge "
                "more photos that have nothing to do with each other"
            )
        taste = fit(seen.features, seen.blocks, seen.logits, learnt)
        there = rows[held_out]
        after[held_out] = tilted(seen.logits[there], taste.of(seen.features[there]))
    # Two tastes are not compared with each other.
    samples = [
        replace(sample, group=f"{fold} {sample.group}")
        for sample, fold in zip(judgements.samples, folds, strict=True)
    ]
    gain = measured(samples, before, after, seed)
    return fit(seen.features, seen.blocks, seen.logits, pairs), gain


def measured(samples: list[Sample], before: Floats, after: Floats, seed: int = 0) -> Gain:
    """The gain of one tower's distributions over another's on the same samples.

    Args:
        samples: N judged samples.
        before: Distributions [N,10].
        after: Distributions [N,10].
        seed: Of the bootstrap over the photos.

    Returns:
        Agreement of both, and the paired difference.

    Raises:
        DataError: No two samples can be compared.
    """
    first, second = (
        agreement(samples, each, resamples=_RESAMPLES, seed=seed) for each in (before, after)
    )
    if _METRIC not in first:
        raise DataError("no two of the judgements held out can be compared: judge more photos")
    return Gain(first[_METRIC], second[_METRIC], differences(second, first)[_METRIC])


def _pairs(judgements: Judgements, row: dict[Path, int], folds: Indices) -> Pairs:
    """Judgements in pairs: those given, or all of differently rated photos of a fold."""
    samples = judgements.samples
    score = np.array([sample.score for sample in samples])
    if judgements.form == "pairs":
        better, worse = np.arange(0, len(samples), 2), np.arange(1, len(samples), 2)
    else:
        better, worse = ordered_pairs(score, folds)
    rows = np.array([row[sample.path] for sample in samples])
    weight = np.array([sample.weight for sample in samples])
    return Pairs(
        rows[better],
        rows[worse],
        np.where(score[better] > score[worse], 1.0, 0.5),
        weight[better],
        folds[better],
    )


def see(
    paths: Sequence[Path], model: onnx.ModelProto, tower: Tower, progress: Progress = silent
) -> Seen:
    """Looks at photos.

    Args:
        paths: N readable photos.
        model: The graph.
        tower: What it says of itself.
        progress: Wraps the batches to show progress.

    Returns:
        What it sees.
    """
    depths = find_depths(model)
    look = Looker(model, depths)
    starts = range(0, len(paths), _BATCH)
    parts = [
        look(
            np.stack(
                [
                    load_pixels(
                        path.read_bytes(),
                        image_size=tower.image_size,
                        interpolation=tower.interpolation,
                    )
                    for path in paths[start : start + _BATCH]
                ]
            )
        )
        for start in progress(starts, len(starts), "batches")
    ]
    features, logits = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Seen(features, depths.channels, logits)
