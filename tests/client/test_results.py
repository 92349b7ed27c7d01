"""Results as values."""

from __future__ import annotations

import math

from iq_client import Group, ImageError, RankedImage, Score
from iq_client.results import VOTES

GOOD = Score("a.jpg", 5.5, 1.5, (0.1,) * len(VOTES))
FAILED = Score.failed("b.jpg", ImageError("EMPTY", "no bytes"))


def test_a_score() -> None:
    assert GOOD.ok and GOOD.lower_bound == 4.0
    assert Score.from_dict(GOOD.to_dict()) == GOOD


def test_a_score_that_failed() -> None:
    assert not FAILED.ok and math.isnan(FAILED.mean) and FAILED.distribution == ()
    assert str(FAILED.error) == "EMPTY: no bytes"
    assert FAILED.to_dict()["mean"] is None
    back = Score.from_dict(FAILED.to_dict())
    assert (back.source, back.error) == ("b.jpg", FAILED.error)


def test_a_group() -> None:
    group = Group((RankedImage(1, GOOD), RankedImage(None, FAILED)))
    assert group.best.score is GOOD
    assert group.key == "mean"
    assert [image["rank"] for image in group.to_dict()["images"]] == [1, None]
