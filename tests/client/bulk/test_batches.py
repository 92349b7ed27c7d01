"""Batches of a dataframe or of Ray Data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.client.bulk.conftest import MakePhotos
from tests.client.faulty import FaultyServer, description, faulty_mean

from iq_client.bulk import BatchScorer


@pytest.fixture
def scorer(scoring: FaultyServer) -> BatchScorer:
    scoring.tower = description(quantiles=[1.0, 10.0], quantiles_of="some photos")
    return BatchScorer(scoring.url, batch_size=4)


@pytest.mark.parametrize("content", ["bytes", "uri"])
def test_it_adds_columns(scorer: BatchScorer, make_photos: MakePhotos, content: str) -> None:
    paths = make_photos(12)
    values = [str(path) if content == "uri" else path.read_bytes() for path in paths]
    batch = {"id": np.arange(12), content: np.array(values, np.object_), "x": np.ones(12)}
    scored = scorer(batch)
    assert list(scored) == [
        *batch, "mean", "std", "percentile", "distribution", "error_code", "error_message"
    ]  # fmt: skip
    expected = [faulty_mean(path.stat().st_size) for path in paths]
    assert scored["mean"].tolist() == expected and len(set(expected)) > 3
    assert scored["percentile"] == pytest.approx((scored["mean"] - 1) / 9 * 100)
    assert scored["distribution"].shape == (12, 10)
    assert {scored[name].dtype for name in ("mean", "std", "distribution")} == {
        np.dtype(np.float32)
    }
    assert scored["error_code"].tolist() == [None] * 12


def test_a_photo_that_fails_leaves_its_neighbours(scorer: BatchScorer, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"xx")
    scored = scorer({"uri": [str(tmp_path / "a.jpg"), str(tmp_path / "gone.jpg")]})
    assert scored["mean"][0] == faulty_mean(2) and np.isnan(scored["mean"][1])
    assert np.isnan(scored["distribution"][1]).all()
    assert scored["error_code"].tolist() == [None, "NOT_FOUND"]
    assert scored["error_message"][1]


def test_an_empty_batch_has_empty_columns(scorer: BatchScorer) -> None:
    scored = scorer({"bytes": np.array([], np.object_)})
    assert scored["distribution"].shape == (0, 10)


def test_a_batch_without_photos_is_refused(scorer: BatchScorer) -> None:
    with pytest.raises(KeyError, match="`bytes` or `uri`"):
        scorer({"id": np.arange(2)})
