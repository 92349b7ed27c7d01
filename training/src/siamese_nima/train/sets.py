"""Sets of a run, read and split: samples to learn from, and samples to judge by."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

from siamese_nima.data import inspect
from siamese_nima.data.samples import Sample
from siamese_nima.errors import ConfigError, DataError
from siamese_nima.evaluate.metrics import pairwise_accuracy
from siamese_nima.train.batches import LabelledSamples, label
from siamese_nima.train.config import SetConfig, TrainConfig


def open_sets(config: TrainConfig) -> tuple[LabelledSamples, LabelledSamples]:
    """Reads the photos of every set.

    A photo that one set holds out is learnt from in none.

    Args:
        config: The run.

    Returns:
        What to learn from, and what to judge by.

    Raises:
        ConfigError: A set has no votes for its EMD.
        DataError: Too much of a set is bad, or nothing is left to learn from or to judge by.
    """
    sides = [_split(each) for each in config.sets]
    training = []
    for place, (each, (learnt, _)) in enumerate(zip(config.sets, sides, strict=True)):
        others = [held_out for other, (_, held_out) in enumerate(sides) if other != place]
        training.append((each, _without(each, learnt, itertools.chain(*others))))
    labelled = label(training)
    held_out = label([(each, side) for each, (_, side) in zip(config.sets, sides, strict=True)])
    for member, each in enumerate(config.sets):
        _check(each, member, labelled, held_out)
    return labelled, held_out


def held_out_paths(samples: Iterable[Sample]) -> str:
    """The files that a run judges by, one a line."""
    return "".join(f"{path}\n" for path in dict.fromkeys(sample.path for sample in samples))


def _split(config: SetConfig) -> tuple[list[Sample], list[Sample]]:
    inspection = inspect(config.data)
    inspection.require(config.data.max_bad_share)
    if config.held_out is None:
        return inspection.split(config.held_out_share)
    judged = inspect(config.held_out)
    judged.require(config.held_out.max_bad_share)
    return _without(config, inspection.samples, judged.samples), judged.samples


def _without(
    config: SetConfig, samples: Iterable[Sample], judged: Iterable[Sample]
) -> list[Sample]:
    """Samples of a set without photos that are judged by; of a judgement, both go or none."""
    digests = {sample.digest for sample in judged}
    samples = list(samples)
    gone = [sample for sample in samples if sample.digest in digests]
    groups = {sample.group for sample in gone} if config.data.form == "pairs" else set()
    return [
        sample for sample in samples if sample.digest not in digests and sample.group not in groups
    ]


def _check(
    config: SetConfig, member: int, training: LabelledSamples, held_out: LabelledSamples
) -> None:
    learnt, judged = training.rows(member), held_out.rows(member)
    if len(learnt) < 2:
        raise DataError(f"fewer than two photos of {config.name} to learn from")
    if config.loss.votes() and not training.votes[learnt].any():
        raise ConfigError(
            f"the loss emd or squared_emd of {config.name} needs votes: the form scores, "
            "histograms or ava"
        )
    if not (config.held_out or config.held_out_share):
        return
    accuracy = pairwise_accuracy(
        held_out.score[judged], held_out.score[judged], held_out.group[judged]
    )
    if math.isnan(accuracy):
        raise DataError(
            f"{len(judged)} photos of {config.name} are held out, no two of different scores: "
            "raise held_out_share or give a held_out"
        )
