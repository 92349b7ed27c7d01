"""Losses of a batch: for each set a weighted sum over its photos and their pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from keras import ops

from siamese_nima.train import losses
from siamese_nima.train.pairs import compared


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weights of the losses, 0 to leave one out; see `losses` for each.

    Attributes:
        emd: `earth_movers_distance`, over the photos whose votes are known.
        squared_emd: `squared_earth_movers_distance`, over the same photos.
        contrastive: `contrastive`, the same bucket or not.
        logistic: `pairwise_logistic`, over pairs of different scores, and over ties that were
            judged as such. Where standard errors of the scores are known, a pair's target is the
            probability that the one is better, so that the margin follows the votes' uncertainty.
        margin: `margin_ranking`, over pairs of different scores.
        min_gap: Scores that differ by less than this are no order.
    """

    emd: float = 0.0
    squared_emd: float = 0.0
    contrastive: float = 0.0
    logistic: float = 0.0
    margin: float = 0.0
    min_gap: float = 0.0

    def any(self) -> bool:
        """True where something is to be learnt."""
        return self.votes() or any((self.contrastive, self.logistic, self.margin))

    def votes(self) -> bool:
        """True where distributions of votes are to be learnt."""
        return any((self.emd, self.squared_emd))


@dataclass(frozen=True, slots=True)
class Objective:
    """Minimised losses of one set.

    Attributes:
        name: Of the set.
        weights: Of its losses.
        pairing: A key of `pairs.PAIRINGS`.
        ties: Whether equal scores in a group are a judgement: neither is better.
    """

    name: str
    weights: LossWeights
    pairing: str
    ties: bool = False


class Batch(NamedTuple):
    """Labels of a batch, tensors.

    Attributes:
        member: Index of the set that each row is of, -1 for a filler; int64 [B].
        score: float32 [B].
        error: Standard error of the score, 0 where it is taken as exact; float32 [B].
        bucket: int64 [B].
        group: int64 [B]; scores are comparable within a group only, and no two sets share one.
        votes: float32 [B,10]; rows of zeros where unknown.
        weight: Of the row's judgement in losses over pairs, float32 [B].
    """

    member: Any
    score: Any
    error: Any
    bucket: Any
    group: Any
    votes: Any
    weight: Any


def batch_losses(
    predicted: Any,
    batch: Batch,
    objectives: Sequence[Objective],
    total: Callable[[Any], Any] = lambda value: value,
) -> dict[str, Any]:
    """The losses of a batch.

    Args:
        predicted: Distributions [B,10].
        batch: The labels.
        objectives: One for each set; losses of weight 0 are not computed.
        total: Sums a scalar over all parts of a batch that several devices share.

    Returns:
        Scalars, float32: `loss`, the sum over the sets, and each loss as `set_loss`; with `total`,
        what this part adds to those of the whole batch.
    """
    predicted = ops.cast(predicted, "float32")
    means = losses.mean_score(predicted)
    parts: dict[str, Any] = {}
    weighted = []
    for index, objective in enumerate(objectives):
        member = ops.cast(ops.equal(batch.member, index), "float32")
        for name, value in _set_losses(predicted, means, batch, member, objective, total).items():
            parts[f"{objective.name}_{name}"] = value
            weighted.append(getattr(objective.weights, name) * value)
    return {"loss": sum(weighted), **parts}


def _set_losses(
    predicted: Any,
    means: Any,
    batch: Batch,
    member: Any,
    objective: Objective,
    total: Callable[[Any], Any],
) -> dict[str, Any]:
    """The losses of one set, whose rows `member` marks."""

    def mean(values: Any, mask: Any) -> Any:
        """Mean by the weights in the mask; 0 where they are all 0."""
        weight = total(ops.sum(mask))
        return ops.sum(values * mask) / ops.where(weight > 0, weight, 1.0)

    weights = objective.weights
    a, b = means[:, None], means[None, :]
    gap = batch.score[:, None] - batch.score[None, :]
    pairs = compared(batch.group, objective.pairing) * member[:, None] * member[None, :]
    judged = pairs * ops.sqrt(batch.weight[:, None] * batch.weight[None, :])
    tie = ops.equal(gap, 0.0)
    differ = ops.logical_and(ops.logical_not(tie), ops.absolute(gap) >= weights.min_gap)
    ordered = judged * ops.cast(differ, "float32")
    better, worse = ops.where(gap > 0, a, b), ops.where(gap > 0, b, a)
    parts: dict[str, Any] = {}
    known = member * ops.cast(ops.sum(batch.votes, axis=-1) > 0, "float32")
    if weights.emd:
        parts["emd"] = mean(losses.earth_movers_distance(batch.votes, predicted), known)
    if weights.squared_emd:
        squared = losses.squared_earth_movers_distance(batch.votes, predicted)
        parts["squared_emd"] = mean(squared, known)
    if weights.contrastive:
        same = ops.cast(ops.equal(batch.bucket[:, None], batch.bucket[None, :]), "float32")
        parts["contrastive"] = mean(losses.contrastive(a, b, same), pairs)
    if weights.logistic:
        errors = ops.sqrt(ops.square(batch.error[:, None]) + ops.square(batch.error[None, :]))
        target = losses.probability_of_order(ops.absolute(gap), errors)
        target = ops.where(tie, 0.5, target)
        counted = judged * ops.cast(ops.logical_or(differ, tie), "float32")
        counted = counted if objective.ties else ordered
        parts["logistic"] = mean(losses.pairwise_logistic(better, worse, target), counted)
    if weights.margin:
        parts["margin"] = mean(losses.margin_ranking(better, worse), ordered)
    return parts
