"""A taste as a tilt of the default tower's votes, learnt from judgements in pairs.

A taste is a number for each photo, linear in what the tower sees at every depth, by which the votes
are tilted: p_i ∝ q_i·exp(taste·c_i), q the default's distribution and c_i from -1 for one vote to 1
for ten. A taste of 0 is the default. That is the nearest distribution to the default's, in relative
entropy, that has the new mean. The number is fitted by the pairwise logistic loss (Burges et al.
2005, eq. 3), with a ridge that pulls it to 0; how strongly, judgements that are held out decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from iq_serving.contract import VOTES

Floats = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.int64]

STEEPNESS: Final = 4.0  # as the trainer's; the means of photos differ by about half a vote
RIDGES: Final = (1e-1, 1e-2, 1e-3, 1e-4)
FOLDS: Final = 3

_VOTES: Final = np.asarray(VOTES)
# Votes brought to -1…1.
TILT: Final = 2 * (_VOTES - _VOTES.mean()) / np.ptp(_VOTES)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Judgements in pairs.

    Attributes:
        better: Row of the photo that is better, int64 [P].
        worse: Row of the other one, int64 [P].
        target: Probability that `better` is better: 1, or 0.5 of a tie; float64 [P].
        weight: float64 [P].
        fold: Pairs of one fold are learnt from, or held out, together; int64 [P].
    """

    better: Indices
    worse: Indices
    target: Floats
    weight: Floats
    fold: Indices

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.better)

    def where(self, chosen: npt.NDArray[np.bool_]) -> Pairs:
        """The pairs that are marked."""
        return Pairs(
            self.better[chosen],
            self.worse[chosen],
            self.target[chosen],
            self.weight[chosen],
            self.fold[chosen],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Taste:
    """A taste: weight·features + bias.

    Attributes:
        weight: float64 [D].
        bias: Its constant, which makes the taste 0 for the mean of the photos it was learnt from.
    """

    weight: Floats
    bias: float

    def of(self, features: Floats) -> Floats:
        """The taste for photos [N] of features [N,D]."""
        return np.asarray(features @ self.weight + self.bias)


def tilted(logits: Floats, taste: Floats) -> Floats:
    """Distributions of votes under a taste.

    Args:
        logits: Of the default's distributions [N,10].
        taste: [N].

    Returns:
        Probabilities of the votes 1…10 [N,10].
    """
    exponents = logits + taste[:, None] * TILT
    weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def fit(features: Floats, blocks: tuple[int, ...], logits: Floats, pairs: Pairs) -> Taste:
    """Learns a taste.

    Args:
        features: Of the photos [N,D].
        blocks: Number of features of each depth, D in all. Each depth has the same say, however
            many features it has.
        logits: Of the default's distributions [N,10].
        pairs: Judgements of these photos, of several folds.

    Returns:
        The taste, pulled to 0 as strongly as orders held-out folds best.
    """
    centre, scale = features.mean(axis=0), features.std(axis=0)
    # What is the same in all photos says nothing.
    scale = np.where(scale > 1e-6, scale, np.inf) * np.sqrt(np.repeat(blocks, blocks) * len(blocks))
    # The solution lies in the span of the photos: as many coefficients as photos are enough.
    left, values, right = np.linalg.svd((features - centre) / scale, full_matrices=False)
    inputs = left * values
    ridge = _chosen_ridge(inputs, logits, pairs)
    weight = (_solve(inputs, logits, pairs, ridge) @ right) / scale
    return Taste(weight, -float(weight @ centre))


def _chosen_ridge(inputs: Floats, logits: Floats, pairs: Pairs) -> float:
    """The ridge under which folds that are held out are ordered best."""
    sides = pairs.fold % FOLDS
    held_out = [fold for fold in range(FOLDS) if 0 < (sides == fold).sum() < len(pairs)]
    if not held_out:
        return RIDGES[0]

    def loss(ridge: float) -> float:
        return sum(
            _loss(
                _solve(inputs, logits, pairs.where(sides != fold), ridge),
                inputs, logits, pairs.where(sides == fold), 0.0,
            )[0]
            for fold in held_out
        )  # fmt: skip

    return min(RIDGES, key=loss)


def _solve(inputs: Floats, logits: Floats, pairs: Pairs, ridge: float) -> Floats:
    start = np.zeros(inputs.shape[1])
    found = minimize(_loss, start, (inputs, logits, pairs, ridge), method="L-BFGS-B", jac=True)
    return np.asarray(found.x)


def _loss(
    weight: Floats, inputs: Floats, logits: Floats, pairs: Pairs, ridge: float
) -> tuple[float, Floats]:
    """The loss and its gradient."""
    votes = tilted(logits, inputs @ weight)
    means = votes @ _VOTES
    slope = votes @ (TILT * _VOTES) - (votes @ TILT) * means  # of the mean by the taste
    lead = STEEPNESS * (means[pairs.better] - means[pairs.worse])
    share = pairs.weight / pairs.weight.sum()
    loss: Any = share @ (
        pairs.target * np.logaddexp(0, -lead) + (1 - pairs.target) * np.logaddexp(0, lead)
    )
    by_lead = STEEPNESS * share * (1 / (1 + np.exp(-lead)) - pairs.target)
    by_mean = np.bincount(pairs.better, by_lead, len(means))
    by_mean -= np.bincount(pairs.worse, by_lead, len(means))
    gradient = inputs.T @ (by_mean * slope) + 2 * ridge * weight
    return float(loss + ridge * weight @ weight), gradient
