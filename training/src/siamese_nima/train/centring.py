"""Centring of the head: where the votes of a set lie elsewhere than those of the weights' own.

Without it the first steps push every feature the same way, to move the mean of all photos. Adam's
steps are as large as they are many then, and clip units of MobileNet for good.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from iq_serving.contract import VOTES
from siamese_nima.distribution import mean_opinion_score
from siamese_nima.towers.registry import HEAD_LAYER
from siamese_nima.train.draws import whole
from siamese_nima.train.phase import Phase, Run

PHOTOS: Final = 256  # that the mean is taken over
_STEEPEST: Final = 4.0  # a vote
_HALVINGS: Final = 40


def centre_head(run: Run, phase: Phase) -> None:
    """Tilts the head's bias so that predicted means are the labels' means, over some photos.

    Args:
        run: The run; the bias of its model is changed.
        phase: Its first.
    """
    known = np.flatnonzero(run.training.votes.any(axis=1))
    chosen = np.random.default_rng(run.config.seed).permutation(known)[:PHOTOS]
    batches = phase.training(whole(chosen), run.config.batch_size)
    predicted = np.concatenate([phase.predict(inputs)[0].numpy() for _, inputs in batches])
    slope = tilt(predicted, float(run.training.score[chosen].mean()))
    run.model.get_layer(HEAD_LAYER).bias.assign_add(slope * _centred())


def tilt(distributions: npt.NDArray[np.float32], mean: float) -> float:
    """Slope of logits over the votes that gives distributions a mean.

    Args:
        distributions: [N,10].
        mean: Of all of them, 1…10.

    Returns:
        The slope, per vote, at most `_STEEPEST` either way.
    """
    low, high = -_STEEPEST, _STEEPEST
    for _ in range(_HALVINGS):
        slope = (low + high) / 2
        weights = distributions * np.exp(slope * _centred())
        tilted = weights / weights.sum(axis=1, keepdims=True)
        if mean_opinion_score(tilted).mean() < mean:
            low = slope
        else:
            high = slope
    return slope


def _centred() -> npt.NDArray[np.float32]:
    votes = np.array(VOTES, np.float32)
    return votes - np.float32(np.mean(VOTES))
