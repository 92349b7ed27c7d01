"""Predictions as tables, in memory and in files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from iq_serving.contract import Tower
from siamese_nima.errors import DataError
from siamese_nima.evaluate.prediction import mean_quantiles, predict, write_table
from siamese_nima.evaluate.scorers import Scored


def by_size(files: Sequence[bytes]) -> Scored:
    """A scorer: the larger a file, the better; text is no photo."""
    errors = ["UNREADABLE: no photo" if data.startswith(b"no") else "" for data in files]
    votes = np.array([min(9, len(data) // 100) for data in files])
    shares = np.eye(10, dtype=np.float32)[votes] * 0.5 + 0.05
    shares[[bool(error) for error in errors]] = np.nan
    return Scored(shares, errors)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """A good photo, one that is none, and a better one."""
    paths = [tmp_path / name for name in ("a.jpg", "b.jpg", "c.jpg")]
    for path, data in zip(paths, (b"x" * 200, b"no photo", b"x" * 700), strict=True):
        path.write_bytes(data)
    return paths


def test_a_table(paths: list[Path]) -> None:
    frame = predict([*paths, "gone.jpg"], by_size)
    assert list(frame.columns) == [
        "source", "mean", "std", *(f"p{vote}" for vote in range(1, 11)), "rank", "error",
    ]  # fmt: skip
    assert list(frame["source"]) == [*map(str, paths), "gone.jpg"]
    assert frame["rank"].tolist() == [2, pd.NA, 1, pd.NA]
    assert frame["mean"].isna().tolist() == [False, True, False, True]
    assert [error.partition(":")[0] for error in frame["error"]] == [
        "",
        "UNREADABLE",
        "",
        "MISSING",
    ]
    assert frame["mean"].iloc[0] == pytest.approx(0.5 * 3 + 0.05 * 55)
    np.testing.assert_allclose(
        frame.filter(regex=r"^p\d").sum(axis=1, skipna=False), [1, np.nan, 1, np.nan], rtol=1e-6
    )


def test_files(paths: list[Path], tmp_path: Path) -> None:
    frame = predict(paths, by_size)
    write_table(frame, tmp_path / "scores.csv")
    read = pd.read_csv(tmp_path / "scores.csv", keep_default_na=False)
    assert read["source"].tolist() == [str(path) for path in paths]
    assert [float(each) for each in read["mean"] if each] == pytest.approx(
        frame["mean"].dropna().tolist(), abs=1e-6
    )
    pytest.importorskip("pyarrow")
    write_table(frame, tmp_path / "scores.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "scores.parquet"), frame)
    assert not list(tmp_path.glob("*.partial"))


def test_nothing() -> None:
    frame = predict([], by_size)
    assert len(frame) == 0
    assert {"source", "mean", "p10", "rank"} <= set(frame.columns)


def test_quantiles_are_a_scale() -> None:
    frame = pd.DataFrame({"mean": [float("nan"), *np.linspace(2, 8, 301)]})
    found = mean_quantiles(frame, "mine")
    assert found["quantiles_of"] == "mine"
    assert found["quantiles"][:2] == [2.0, 2.06]
    assert (len(found["quantiles"]), found["quantiles"][-1]) == (101, 8.0)
    tower = {"tower": "x", "image_size": [8, 8], "interpolation": "bilinear"}
    text = json.dumps({**tower, "preprocessing_version": 1, **found})
    assert Tower.parse(text, origin="test").quantiles == tuple(found["quantiles"])


def test_photos_that_are_too_much_alike_are_no_scale() -> None:
    with pytest.raises(DataError, match="3 photos of mine are too few"):
        mean_quantiles(pd.DataFrame({"mean": [1.0, 1.0, 2.0]}), "mine")
