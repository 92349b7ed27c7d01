"""Results as values."""

from __future__ import annotations

import json
import math

import pytest

from iq_client import Group, ImageError, RankedImage, Score, TowerIdentity
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


TOWER = {
    "tower": "tiny",
    "version": "1.2",
    "sha256": "0123456789abcdef",
    "preprocessing_version": 1,
    "licence": "CC0-1.0",
    "quantiles": [3.0, 4.0, 6.0],
    "quantiles_of": "photos of a test",
}


def test_the_identity_of_a_tower_is_read_and_written() -> None:
    tower = TowerIdentity.parse(json.dumps(TOWER | {"more": "is left out"}))
    assert tower.to_dict() == TOWER | {"quantiles": (3.0, 4.0, 6.0)}
    assert TowerIdentity.parse(json.dumps(tower.to_dict())) == tower
    assert tower.label == "tiny@0123456789ab"
    bare = {key: value for key, value in TOWER.items() if not key.startswith("quantiles")}
    assert TowerIdentity.parse(json.dumps(bare)).to_dict() == bare


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        "{}",
        json.dumps(TOWER | {"preprocessing_version": "new"}),
        json.dumps(TOWER | {"quantiles": [3.0, 3.0]}),
        json.dumps(TOWER | {"quantiles": [3.0]}),
        json.dumps(TOWER | {"quantiles": "abc"}),
    ],
)
def test_what_is_no_identity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="description of a tower"):
        TowerIdentity.parse(text)


@pytest.mark.parametrize(
    ("mean", "percentile"),
    [(1, 0), (3, 0), (3.5, 25), (4, 50), (5, 75), (5.5, 87.5), (6, 100), (9, 100)],
)
def test_a_percentile_lies_between_its_quantiles(mean: float, percentile: float) -> None:
    assert TowerIdentity.parse(json.dumps(TOWER)).percentile(mean) == pytest.approx(percentile)


def test_without_quantiles_there_is_no_percentile() -> None:
    bare = TowerIdentity("tiny", "1", "ab", 1, "CC0-1.0")
    assert bare.percentile(5.0) is None
