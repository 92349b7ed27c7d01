from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from iq_tools.errors import ScoresMovedError
from iq_tools.graph.parity import mean_drift, require_parity


class _Constant:
    def __init__(self, *means: float) -> None:
        self._means = means

    def score(self, pixels: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float32]]:
        return {"MEAN": np.array(self._means[: len(pixels)], np.float32)[:, None]}


def test_drift_is_the_largest_and_nan_is_beyond_every_gate() -> None:
    pixels = np.zeros((3, 2, 2, 3), np.uint8)
    reference = _Constant(5.0, 6.0, 7.0)
    assert mean_drift(reference, _Constant(5.0, 6.25, 6.9), pixels) == pytest.approx(0.25)
    broken = mean_drift(reference, _Constant(5.0, float("nan"), 7.0), pixels)
    with pytest.raises(ScoresMovedError, match="not written"):
        require_parity(broken, what="this")
