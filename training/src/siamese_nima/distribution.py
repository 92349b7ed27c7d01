"""The ten votes of NIMA (Talebi & Milanfar 2017, section III) and the moments of a distribution."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

VOTE_BINS: Final = 10
VOTES: Final = tuple(float(vote) for vote in range(1, VOTE_BINS + 1))

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
