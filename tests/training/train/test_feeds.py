"""Features computed once: the same run as without, faster, or a clear refusal."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from PIL import Image

from siamese_nima.config import PhaseConfig
from siamese_nima.data import DataConfig, inspect
from siamese_nima.data.decoding import decode
from siamese_nima.errors import ConfigError
from siamese_nima.towers.freezing import frozen_depth
from siamese_nima.towers.parts import judged_part, tower_part
from siamese_nima.towers.registry import HEAD_LAYER, Tower, build_tower
from siamese_nima.towers.weights import read_weights
from siamese_nima.train.config import TrainConfig
from siamese_nima.train.draws import whole
from siamese_nima.train.feeds import (
    Feed,
    cut_layer,
    feature_feed,
    feature_learner,
    pixel_feed,
    pixel_learner,
)
from siamese_nima.train.run import train

Make = Callable[..., TrainConfig]


def near(a: Path, b: Path) -> bool:
    first, second = read_weights(a), read_weights(b)
    return first.keys() == second.keys() and all(
        np.allclose(x, y, rtol=1e-4, atol=1e-5)
        for name in first
        for x, y in zip(first[name], second[name], strict=True)
    )


def kept(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_a_run_ends_alike_and_the_next_finds_the_features(make: Make, labelled: Path) -> None:
    plain = make("plain", body=PhaseConfig(epochs=1, learning_rate=1e-3))
    cached = dataclasses.replace(
        plain, output=labelled / "cached", cache_features=True, features=labelled / "kept"
    )
    expected, found = train(plain), train(cached)
    assert near(plain.output / "last.weights.h5", cached.output / "last.weights.h5")
    for a, b in zip(expected.log, found.log, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-3)
    files = kept(labelled / "kept")
    assert len(files) == 4, "two phases, photos to learn from and to judge by"
    train(dataclasses.replace(cached, output=labelled / "again"))
    assert kept(labelled / "kept") == files
    # Another start has other features.
    no_body = dataclasses.replace(plain.body, epochs=0)
    train(dataclasses.replace(cached, output=labelled / "other", seed=2, body=no_body))
    assert len(kept(labelled / "kept")) == 6


@pytest.fixture
def ladders(tmp_path: Path) -> DataConfig:
    """Two photos under every distortion, the second twice under different names."""
    folder = tmp_path / "ladders"
    folder.mkdir()
    rng = np.random.default_rng(5)
    for names in (["a.png"], ["b.png", "c.png"]):
        picture = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
        for name in names:
            picture.save(folder / name)
    return DataConfig("distortions", folder)


def test_every_row_gets_its_own_features(tiny: Tower, ladders: DataConfig, tmp_path: Path) -> None:
    samples = inspect(ladders).samples
    model = build_tower(tiny)
    feed = feature_feed(tiny, model, "low_relu", samples, "bilinear", tmp_path / "kept")
    rows = np.random.default_rng(1).permutation(len(samples))
    served = list(feed(whole(rows), 7))
    assert np.array_equal(np.concatenate([each.numpy() for each, _ in served]), rows)
    pixels = np.stack(
        [decode(samples[row], image_size=(16, 16), interpolation="bilinear") for row in rows]
    )
    trunk = pixel_learner(tiny, tower_part(model, through="low_relu"))
    expected = trunk.part(trunk.prepare(pixels))
    features = np.concatenate([each.numpy() for _, each in served])
    assert features.std(axis=0).max() > 0.01
    assert np.allclose(features, expected, atol=1e-5)
    # What lies above makes the same of them as the tower of the pixels.
    whole_tower = pixel_learner(tiny, model).predictor(judged_part(model, HEAD_LAYER))
    upper_part = feature_learner(model, "low_relu").predictor(
        judged_part(model, HEAD_LAYER, after="low_relu")
    )
    for one, same in zip(whole_tower(tf.constant(pixels)), upper_part(features), strict=True):
        assert np.ptp(one, axis=0).max() > 1e-4
        assert np.allclose(one, same, atol=1e-5)
    (file,) = (tmp_path / "kept").iterdir()
    undistorted = 6 * 3 - 2  # in the ladders of six kinds; copies of a photo are one photo
    assert len(np.load(file)) == len(samples) - undistorted


def test_what_fits_is_decoded_once(ladders: DataConfig, tmp_path: Path) -> None:
    samples = inspect(ladders).samples
    draw = whole(np.arange(len(samples)))
    draw = dataclasses.replace(draw, mirrored=draw.rows % 2 == 0)

    def pixels(feed: Feed) -> npt.NDArray[Any]:
        return np.concatenate([each.numpy() for _, each in feed(draw, 8)])

    room = 2**20 // (100 * 100 * 3)  # less than there are samples
    feed = pixel_feed(samples, (100, 100), "bilinear", cache_mib=1)
    assert 0 < room < len(samples)
    expected = pixels(pixel_feed(samples, (100, 100), "bilinear"))
    assert np.array_equal(pixels(feed), expected)
    shutil.rmtree(ladders.images)
    unmirrored = whole(draw.rows[:1])
    _, kept = next(iter(feed(unmirrored, 8)))
    assert np.array_equal(kept.numpy()[0][:, ::-1], expected[0]), (
        "kept as it was before it was mirrored"
    )
    with pytest.raises(tf.errors.OpError, match=r"\.png"):
        pixels(feed)


def test_an_interrupted_file_is_none(tiny: Tower, ladders: DataConfig, tmp_path: Path) -> None:
    samples = inspect(ladders).samples
    kept = tmp_path / "kept"

    def stops(*_: object) -> Iterator[object]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        feature_feed(tiny, build_tower(tiny), "low", samples, "bilinear", kept, progress=stops)
    assert not kept.exists() or not list(kept.iterdir())


@pytest.mark.parametrize(
    ("through", "cut"),
    [("low", "low"), ("low_relu", "low_relu"), ("sum", "sum"), ("dropout", "pool")],
)
def test_where_a_tower_is_cut(tiny: Tower, through: str, cut: str) -> None:
    model = build_tower(tiny)
    assert cut_layer(model, frozen_depth(model, through)) == cut


@pytest.mark.parametrize(
    ("through", "message"), [("0", "needs a frozen part"), ("high_relu", "lead around")]
)
def test_towers_that_have_no_cut(tiny: Tower, through: str, message: str) -> None:
    model = build_tower(tiny)
    with pytest.raises(ConfigError, match=message):
        cut_layer(model, frozen_depth(model, through))


def test_a_run_refuses_before_it_learns(make: Make) -> None:
    with pytest.raises(ConfigError, match="mirror"):
        train(make("a", cache_features=True, mirror=True))
    config = make("b", cache_features=True, freeze_through="0")
    with pytest.raises(ConfigError, match="frozen part"):
        train(config)
    assert not (config.output / "state.npz").exists()


def test_a_cut_shares_the_towers_weights(tiny: Tower) -> None:
    model = build_tower(tiny)
    part = feature_learner(model, "low").part
    assert isinstance(part, keras.Model)
    assert part.layers[-1] is model.layers[-1]
