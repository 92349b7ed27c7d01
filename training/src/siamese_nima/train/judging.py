"""Judging of a tower on held-out photos, between epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from siamese_nima.distribution import Floats
from siamese_nima.errors import TrainingError
from siamese_nima.evaluate.metrics import pairwise_accuracy, spearman
from siamese_nima.train.batches import LabelledSamples
from siamese_nima.train.config import SetConfig

ACCURACY: Final = "held_out_pairwise_accuracy"


def judge(sets: Sequence[SetConfig], held_out: LabelledSamples, means: Floats) -> dict[str, float]:
    """Agreement of means with labels.

    Args:
        sets: The sets of the run.
        held_out: Their held-out samples.
        means: Predicted means, one for each [N].

    Returns:
        For each set that holds something out `NAME_held_out_pairwise_accuracy` and, where it is of
        one group, `NAME_held_out_srcc`; and the mean of the accuracies,
        `held_out_pairwise_accuracy`, by which the best epoch is chosen.

    Raises:
        TrainingError: A mean is no number.
    """
    judged: dict[str, float] = {}
    accuracies = []
    for member, config in enumerate(sets):
        rows = held_out.rows(member)
        if not len(rows):
            continue
        score, group = held_out.score[rows], held_out.group[rows]
        accuracy = pairwise_accuracy(score, means[rows], group)
        if math.isnan(accuracy) or not np.isfinite(means[rows]).all():
            raise TrainingError(
                "the scores of held-out photos are no numbers; the last state is kept. "
                "Lower the learning rate"
            )
        accuracies.append(accuracy)
        judged[f"{config.name}_{ACCURACY}"] = accuracy
        if np.ptp(group) == 0:
            correlation = spearman(score, means[rows])
            # A tower that scores all alike says nothing.
            judged[f"{config.name}_held_out_srcc"] = 0.0 if math.isnan(correlation) else correlation
    return {**judged, ACCURACY: float(np.mean(accuracies))}
