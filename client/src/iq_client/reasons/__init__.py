"""Reasons for low marks: faults of a photo that can be measured, and named.

A reason is told from the pixels and the file alone, without a server, and from about as small a
picture as the network sees: a fault that shows at 100 % alone lowers no mark, and is none here.
Each has a logistic model of a few measures; `scripts/fit_reasons.py` fits `weights.json`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final, get_args

from PIL import Image

from iq_client.reasons.measures import Measures, measure
from iq_client.results import RankedImage, Reason

__all__ = ["REASONS", "find_reasons", "is_low"]

REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
SMALL_PIXELS: Final = 640 * 480  # fewer are small
LOW_PERCENTILE: Final = 50.0


@dataclass(frozen=True, slots=True)
class Model:
    """Logistic regression of one reason.

    Attributes:
        intercept: Log odds where all measures are 0, less those from which the reason is named.
        weights: Log odds for each unit of a measure, by its name in `Measures`.
    """

    intercept: float
    weights: Mapping[str, float]

    def odds(self, measures: Measures) -> float:
        """Log odds that the photo has this fault, less those from which it is named."""
        known = measures._asdict()
        return self.intercept + sum(
            weight * float(known[name]) for name, weight in self.weights.items()
        )


def find_reasons(image: Image.Image) -> tuple[Reason, ...]:
    """The faults of a photo that may explain a low mark.

    Args:
        image: An opened image in any mode; a large JPEG that is not loaded yet is decoded at a
            reduced scale.

    Returns:
        Those of `REASONS` that hold, in their order.

    Raises:
        OSError: The picture is damaged. Pillow's decoders raise `ValueError`, `SyntaxError` and
            `Image.DecompressionBombError` as well.
    """
    measures = measure(image)
    return tuple(
        reason
        for reason in REASONS
        if (
            measures.pixels < SMALL_PIXELS
            if reason == "small"
            else models()[reason].odds(measures) >= 0
        )
    )


def is_low(row: RankedImage, scored: int) -> bool:
    """True for a photo whose mark is low enough to look for reasons.

    Args:
        row: A row of a ranking.
        scored: The number of photos with a score in the whole ranking.

    Returns:
        True where the photo beats less than half of ordinary photos, by its percentile; where it
        has none, in the lower half of its ranking. False for one that failed.
    """
    if row.rank is None:
        return False
    if row.score.percentile is None:
        return row.rank > scored / 2
    return row.score.percentile < LOW_PERCENTILE


@functools.cache
def models() -> Mapping[Reason, Model]:
    """The fitted models; `small` has none, its measure being exact."""
    text = (resources.files("iq_client.reasons") / "weights.json").read_text(encoding="utf-8")
    return {reason: Model(**values) for reason, values in json.loads(text)["models"].items()}
