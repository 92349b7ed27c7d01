"""What a run minimises: a weighted sum of losses over a batch of photos and its pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops

from siamese_nima.train import losses
from siamese_nima.train.pairs import compared


@dataclass(frozen=True, slots=True)
class LossWeights:
    """Weights of the losses, 0 to leave one out; see `losses` for each.

    Attributes:
        emd: `earth_movers_distance`, over the photos whose votes are known.
        contrastive: `contrastive`, the same bucket or not.
        logistic: `signed_pairwise_logistic`, over pairs of different scores.
        margin: `margin_ranking`, over pairs of different scores.
        min_gap: Scores that differ by less than this are no order.
    """

    emd: float = 0.0
    contrastive: float = 0.0
    logistic: float = 0.0
    margin: float = 0.0
    min_gap: float = 0.0


@dataclass(frozen=True, slots=True)
class Batch:
    """The labels of a batch, tensors.

    Attributes:
        score: float32 [B].
        bucket: int64 [B].
        group: int64 [B].
        votes: float32 [B,10]; rows of zeros where the votes are unknown.
    """

    score: Any
    bucket: Any
    group: Any
    votes: Any


def batch_losses(
    predicted: Any,
    batch: Batch,
    weights: LossWeights,
    pairing: str,
    total: Callable[[Any], Any] = lambda value: value,
) -> dict[str, Any]:
    """The losses of a batch.

    Args:
        predicted: Distributions [B,10].
        batch: The labels.
        weights: What counts how much; losses of weight 0 are not computed.
        pairing: A key of `pairs.PAIRINGS`.
        total: Sums a scalar over all parts of a batch that several devices share.

    Returns:
        Scalars, float32: `loss`, the weighted sum, and each loss by its name; with `total`, what
        this part adds to those of the whole batch.
    """
    predicted = ops.cast(predicted, "float32")

    def mean(values: Any, mask: Any) -> Any:
        """Mean where the mask is 1; 0 where it is nowhere."""
        return ops.sum(values * mask) / ops.maximum(total(ops.sum(mask)), 1.0)

    means = losses.mean_score(predicted)
    a, b = means[:, None], means[None, :]
    gap = batch.score[:, None] - batch.score[None, :]
    pairs = compared(batch.group, pairing)
    known = ops.cast(ops.sum(batch.votes, axis=-1) > 0, "float32")
    differ = ops.logical_and(ops.not_equal(gap, 0.0), ops.absolute(gap) >= weights.min_gap)
    ordered = pairs * ops.cast(differ, "float32")
    better, worse = ops.where(gap > 0, a, b), ops.where(gap > 0, b, a)
    parts: dict[str, Any] = {}
    if weights.emd:
        distances = losses.earth_movers_distance(batch.votes, predicted)
        parts["emd"] = mean(distances, known)
    if weights.contrastive:
        same = ops.cast(ops.equal(batch.bucket[:, None], batch.bucket[None, :]), "float32")
        parts["contrastive"] = mean(losses.contrastive(a, b, same), pairs)
    if weights.logistic:
        parts["logistic"] = mean(losses.signed_pairwise_logistic(better, worse), ordered)
    if weights.margin:
        parts["margin"] = mean(losses.margin_ranking(better, worse), ordered)
    loss = sum(getattr(weights, name) * value for name, value in parts.items())
    return {"loss": loss, **parts}
