"""Stability: changes that people do not see, and a scorer that sees them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese_nima.errors import DataError
from siamese_nima.evaluate.scorers import Scored
from siamese_nima.evaluate.stability import CHANGES, stability


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Photos of different brightness, 100 by 80 pixels."""
    paths = []
    for index in range(8):
        paths.append(tmp_path / f"{index}.png")
        Image.new("RGB", (100, 80), (20 * index,) * 3).save(paths[-1])
    return paths


def scorer_of(value: str) -> object:
    """A scorer whose means are a share of 9 votes above 1."""

    def score(files: Sequence[bytes]) -> Scored:
        shares = []
        for data in files:
            image = Image.open(io.BytesIO(data))
            grey = np.asarray(image.convert("L")).mean() / 255
            share = {"brightness": grey, "size": grey / 2 + image.width / 400}[value]
            shares.append([1 - share, *[0.0] * 8, share])
        return Scored(np.array(shares, np.float32), [""] * len(files))

    return score


def test_what_is_not_seen_moves_nothing(photos: list[Path]) -> None:
    metrics = stability(photos, scorer_of("brightness"), resamples=20)  # type: ignore[arg-type]
    assert list(metrics) == list(CHANGES)
    for metric in metrics.values():
        assert metric.value == pytest.approx(0, abs=0.02)
        assert metric.count == len(photos)


def test_what_is_seen_is_measured_by_the_spread(photos: list[Path]) -> None:
    metrics = stability(photos, scorer_of("size"), resamples=20)  # type: ignore[arg-type]
    spread = 9 * np.std([20 * index / 255 / 2 for index in range(8)])
    moved = {
        name: 9 * width / 400 / spread for name, width in zip(CHANGES, (0, 25, 2), strict=True)
    }
    for name, metric in metrics.items():
        assert metric.value == pytest.approx(moved[name], abs=0.02), name
    assert metrics["moved by resizing"].value > 0.5


def test_a_refused_photo_is_an_error(photos: list[Path]) -> None:
    def refuses(files: Sequence[bytes]) -> Scored:
        return Scored(np.full((len(files), 10), np.nan, np.float32), ["TOO_LARGE: x"] * len(files))

    with pytest.raises(DataError, match="TOO_LARGE"):
        stability(photos, refuses)
