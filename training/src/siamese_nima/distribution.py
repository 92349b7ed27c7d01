"""Moments of a distribution of votes (NIMA, Talebi & Milanfar 2017, section III)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from iq_serving.contract import VOTES

# Added to the smallest variance that a mean of whole votes can have, which no finite a and b give.
_ABOVE_SMALLEST: Final = 0.05

Floats = npt.NDArray[np.floating[Any]]


def mean_opinion_score(distribution: Floats) -> Floats:
    """Σ i·p_i.

    Args:
        distribution: Probabilities of the votes 1…10, [..., 10].

    Returns:
        Means in 1…10, [...].
    """
    return np.asarray(distribution @ np.asarray(VOTES, distribution.dtype))


def standard_deviation(distribution: Floats) -> Floats:
    """√Σ (i - mean)²·p_i.

    Args:
        distribution: Probabilities of the votes 1…10, [..., 10].

    Returns:
        Standard deviations in 0…4.5, [...].
    """
    deviation = np.asarray(VOTES, distribution.dtype) - mean_opinion_score(distribution)[..., None]
    return np.asarray(np.sqrt(np.sum(deviation**2 * distribution, axis=-1)))


def largest_entropy(mean: Floats, std: Floats | float) -> Floats:
    """Distributions of largest entropy with given moments.

    Talebi & Milanfar 2017 (section III-A) train so on TID2013, of which only moments are published.
    p_i ∝ exp(a·i + b·i²), a and b found by Newton's method. A deviation that only a distribution
    with two peaks could have is lowered to the largest that needs no second peak (b = 0), so that
    an infinite one asks for the largest entropy of the mean alone; one that is smaller than whole
    votes allow is raised to what they do.

    Args:
        mean: In 1…10, both ends excluded [N].
        std: 0 or above [N], or one for all.

    Returns:
        Probabilities of the votes 1…10, float64 [N,10].

    Raises:
        ValueError: A mean or a deviation is outside its range.
    """
    mean = np.atleast_1d(np.asarray(mean, np.float64))
    std = np.broadcast_to(np.asarray(std, np.float64), mean.shape)
    if not ((mean > VOTES[0]) & (mean < VOTES[-1]) & (std >= 0)).all():
        raise ValueError("means must lie inside 1…10, deviations be 0 or above")
    # A mean between two votes has a smallest deviation.
    fraction = mean - np.floor(mean)
    std = np.maximum(std, np.sqrt(fraction * (1 - fraction) + _ABOVE_SMALLEST))
    result = _solve(mean, np.zeros_like(mean), fixed=True)
    narrow = std < standard_deviation(result)
    if narrow.any():
        result[narrow] = _solve(mean[narrow], std[narrow], fixed=False)
    return result


def _solve(mean: Floats, std: Floats, *, fixed: bool) -> Floats:
    """Newton's method on the multipliers; with `fixed`, on that of the mean alone."""
    centred = np.asarray(VOTES)[None, :] - mean[:, None]
    powers = np.stack([centred, centred**2], axis=-1)[..., : 1 if fixed else 2]
    wanted = np.stack([np.zeros_like(mean), std**2], axis=-1)[:, : powers.shape[-1]]
    multipliers = np.zeros_like(wanted)
    if not fixed:
        multipliers[:, 1] = -0.5 / std**2

    def shares(at: Floats) -> Floats:
        exponents = np.einsum("nik,nk->ni", powers, at)
        weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def dual(at: Floats) -> Floats:
        exponents = np.einsum("nik,nk->ni", powers, at)
        top = exponents.max(axis=1)
        total = np.log(np.exp(exponents - top[:, None]).sum(axis=1)) + top
        return np.asarray(total - (at * wanted).sum(axis=1))

    for _ in range(100):
        p = shares(multipliers)
        moments = np.einsum("ni,nik->nk", p, powers)
        gap = moments - wanted
        if np.abs(gap).max() < 1e-10:
            break
        spread = np.einsum("ni,nik,nil->nkl", p, powers, powers)
        spread -= moments[:, :, None] * moments[:, None, :]
        step = np.linalg.solve(spread + 1e-12 * np.eye(spread.shape[-1]), gap[..., None])[..., 0]
        # Halved where it would overshoot: the dual is convex, so that this ends at its minimum.
        before, scale = dual(multipliers), np.ones(len(mean))
        for _ in range(30):
            after = dual(multipliers - scale[:, None] * step)
            worse = after > before + 1e-12
            if not worse.any():
                break
            scale[worse] /= 2
        multipliers = multipliers - scale[:, None] * step
    return shares(multipliers)
