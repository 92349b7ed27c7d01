"""Moments of a distribution of votes (NIMA, Talebi & Milanfar 2017, section III)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from iq_serving.contract import VOTES

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
