"""Drift of the mean score between two runtimes, and the gate that bounds it."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from iq_serving.contract import MEAN
from iq_tools.errors import ScoresMovedError

# `DISTRIBUTION` [N,10], `MEAN` [N,1] and `STD` [N,1] by name, fp32.
Scores = dict[str, npt.NDArray[np.float32]]

# A hundredth of a vote is lost in the spread of people's votes; three change a close order.
MEAN_TOLERANCE: Final = 0.03

_BATCH: Final = 16


class Runner(Protocol):
    """Anything that scores pixels."""

    def score(self, pixels: npt.NDArray[np.uint8]) -> Scores:
        """Scores uint8 [N,H,W,3]."""
        ...


def mean_drift(reference: Runner, other: Runner, pixels: npt.NDArray[np.uint8]) -> float:
    """The largest difference of the mean score between two runtimes.

    Args:
        reference: The one to compare with.
        other: The one under test.
        pixels: uint8 [N,H,W,3].

    Returns:
        max |Δ mean|, in votes; infinite where either is not a number.
    """
    largest = 0.0
    for start in range(0, len(pixels), _BATCH):
        batch = pixels[start : start + _BATCH]
        difference = np.abs(reference.score(batch)[MEAN] - other.score(batch)[MEAN])
        largest = max(largest, float(np.nan_to_num(difference, nan=np.inf).max()))
    return largest


def require_parity(drift: float, *, what: str, tolerance: float = MEAN_TOLERANCE) -> None:
    """Refuses an artefact whose scores moved too far.

    Raises:
        ScoresMovedError: The drift is beyond the tolerance.
    """
    if not drift <= tolerance:
        raise ScoresMovedError(
            f"{what} moves a mean score by {drift:.3g} votes, more than {tolerance:g}: not "
            f"written. Serve this tower in FP32 (the default configuration)"
        )
