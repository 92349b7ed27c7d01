"""Losses on distributions of votes and on pairs of means, for any Keras backend.

All take and return tensors of the backend in use; N is the batch.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from iq_serving.contract import VOTES


def mean_score(distribution: Any) -> Any:
    """Σ i·p_i.

    Args:
        distribution: [N,10].

    Returns:
        Mean opinion scores [N], 1…10.
    """
    return ops.sum(distribution * ops.convert_to_tensor(VOTES, distribution.dtype), axis=-1)


def earth_movers_distance(target: Any, predicted: Any) -> Any:
    """EMD between normalised distributions over ordered votes (Talebi & Milanfar 2017, eq. 1).

    (1/10 · Σ_k |CDF_target(k) - CDF_predicted(k)|²)^½; `metrics.mean_emd` reports the one of r = 1.

    Args:
        target: [N,10], rows sum to 1.
        predicted: [N,10], rows sum to 1.

    Returns:
        Distances [N], 0…1.
    """
    # The square root's slope is infinite at 0, where the two are equal.
    return ops.sqrt(squared_earth_movers_distance(target, predicted) + 1e-12)


def squared_earth_movers_distance(target: Any, predicted: Any) -> Any:
    """EMD² between normalised distributions over ordered votes (Hou, Yu & Samaras 2016).

    1/10 · Σ_k |CDF_target(k) - CDF_predicted(k)|². Its slope grows with the distance, where that of
    `earth_movers_distance` is as steep near the target as far from it: noisy votes are averaged.

    Args:
        target: [N,10], rows sum to 1.
        predicted: [N,10], rows sum to 1.

    Returns:
        Squared distances [N], 0…1.
    """
    return ops.mean(ops.square(ops.cumsum(target - predicted, axis=-1)), axis=-1)


def pairwise_logistic(better: Any, worse: Any, target: Any, *, steepness: float = 4.0) -> Any:
    """Cross-entropy of a pair's order (RankNet, Burges et al. 2005, eq. 3).

    The probability that the one is better is the logistic function of s·(better - worse). A pair in
    the wrong order costs more the wronger it is, which the contrastive loss on absolute differences
    cannot say. Its minimum is at a difference of logit(target)/s: the less certain the order, the
    smaller the margin.

    Args:
        better: Means of the better sides [N].
        worse: Means of the worse sides [N].
        target: Probability that the better side is better, 0.5…1 [N].
        steepness: s; the means of photos differ by about half a vote.

    Returns:
        Losses [N], above 0.
    """
    lead = steepness * (better - worse)
    return target * ops.softplus(-lead) + (1.0 - target) * ops.softplus(lead)


def probability_of_order(gap: Any, error: Any) -> Any:
    """Probability that the larger of two measured scores is the larger one (Thurstone 1927).

    Args:
        gap: Difference of the scores, 0 or above [N].
        error: Standard error of that difference, 0 where the scores are exact [N].

    Returns:
        Φ(gap / error), 0.5…1, and 1 where the scores are exact [N].
    """
    exact = error <= 0
    ratio = gap / (ops.where(exact, 1.0, error) * 2.0**0.5)
    return ops.where(exact, 1.0, 0.5 * (1.0 + ops.erf(ratio)))


def contrastive(mean_a: Any, mean_b: Any, same: Any, *, margin: float = 1.0) -> Any:
    """same·d² + (1 - same)·max(margin - d, 0)², d = |a - b| (Hadsell, Chopra & LeCun 2006, eq. 4).

    The original Siamese NIMA's. It pushes photos of different labels apart but not into an order: a
    reversed pair costs as little as a right one.

    Args:
        mean_a: Means of the one sides [N].
        mean_b: Means of the other sides [N].
        same: 1 where both have the same label, else 0 [N].
        margin: How far apart different labels should be, in votes.

    Returns:
        Losses [N], 0 or above.
    """
    distance = ops.absolute(mean_a - mean_b)
    apart = ops.square(ops.maximum(margin - distance, 0.0))
    return same * ops.square(distance) + (1.0 - same) * apart


def margin_ranking(better: Any, worse: Any, *, margin: float = 1.0) -> Any:
    """max(0, margin - (better - worse)) (RankIQA, Liu, van de Weijer & Bagdanov 2017, eq. 2).

    A pair that is right by the margin costs nothing.

    Args:
        better: Means of the better sides [N].
        worse: Means of the worse sides [N].
        margin: By how much the better should lead, in votes.

    Returns:
        Losses [N], 0 or above.
    """
    return ops.maximum(margin - (better - worse), 0.0)


def ladder_ranking(means: Any, group: Any, severity: Any, *, steepness: float = 4.0) -> Any:
    """Signed pairwise logistic loss over every ordered pair inside the groups of a batch.

    Args:
        means: Mean opinion scores [N].
        group: Which ladder of distortions an image is a rung of [N]; -1 for none.
        severity: Where on its ladder it stands [N]; smaller is better.
        steepness: See `pairwise_logistic`.

    Returns:
        The mean over the pairs, a scalar; 0 where the batch has none.
    """
    same = ops.equal(group[:, None], group[None, :])
    ordered = ops.logical_and(same, ops.less(severity[:, None], severity[None, :]))
    ordered = ops.logical_and(ordered, ops.greater_equal(group[:, None], 0))
    pairs = ops.cast(ordered, means.dtype)
    losses = pairwise_logistic(means[:, None], means[None, :], 1.0, steepness=steepness)
    return ops.sum(losses * pairs) / ops.maximum(ops.sum(pairs), 1.0)
