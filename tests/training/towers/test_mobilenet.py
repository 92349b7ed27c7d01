"""MobileNet under both paddings: published scores, and Keras' own model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from iq_serving.preprocessing import load_pixels
from siamese_nima.distribution import mean_opinion_score, standard_deviation
from siamese_nima.towers.mobilenet import mobilenet
from siamese_nima.towers.registry import build_tower, get_tower
from siamese_nima.towers.weights import load_weights


def published(folder: Path, tower_name: str) -> dict[str, Any]:
    """Distributions of the published weights for the published photos, by name."""
    tower = get_tower(tower_name)
    model = build_tower(tower)
    load_weights(model, folder / "weights_mobilenet_aesthetic_0.07.hdf5")
    scores = {}
    for photo in sorted((folder / "images").glob("*.jpg")):
        pixels = load_pixels(
            photo.read_bytes(), image_size=tower.image_size, interpolation="nearest"
        )
        normalised = tower.normalise(pixels[None].astype(np.float32))
        (scores[photo.stem],) = np.asarray(model.predict_on_batch(normalised))
    return scores


def test_symmetric_padding_gives_the_maintainers_scores(data_folder: Path) -> None:
    folder = data_folder / "idealo_nima"
    golden = json.loads((folder / "golden.json").read_text())["keras216_symmetric_pad"]
    scores = published(folder, "mobilenet")
    assert np.std(list(golden["aesthetic"].values())) > 0.1
    for photo, mean in golden["aesthetic"].items():
        assert mean_opinion_score(scores[photo]) == pytest.approx(mean, abs=1e-3)


def test_same_padding_gives_the_scores_under_tensorflow(data_folder: Path) -> None:
    folder = data_folder / "idealo_nima"
    golden = json.loads((folder / "golden.json").read_text())["tfkeras_asymmetric_pad"]["aesthetic"]
    scores = published(folder, "tf_mobilenet")
    for photo, known in (
        ("42039", golden["42039"]),
        ("42041", golden["image.jpg (matches 42041)"]),
    ):
        assert mean_opinion_score(scores[photo]) == pytest.approx(known["mean"], abs=1e-3)
        assert standard_deviation(scores[photo]) == pytest.approx(known["sd"], abs=1e-3)
        np.testing.assert_allclose(scores[photo], known["dist"], atol=1e-3)


@pytest.mark.parametrize("side", [64, 65])
def test_same_padding_is_that_of_keras(side: int) -> None:
    ours = mobilenet((side, side, 3), padding="same")
    theirs = keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=(side, side, 3), pooling="avg"
    )
    theirs.set_weights(ours.get_weights())
    pixels = np.random.default_rng(1).uniform(-1, 1, (2, side, side, 3)).astype(np.float32)
    # Statistics of these pixels, without which hardly anything reaches the end.
    for model in (ours, theirs):
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.0
        model(pixels, training=True)
    features = ours.predict_on_batch(pixels)
    assert np.abs(features[0] - features[1]).max() > 0.1
    np.testing.assert_allclose(features, theirs.predict_on_batch(pixels), atol=1e-4)
    symmetric = mobilenet((side, side, 3), padding="symmetric")
    symmetric.set_weights(ours.get_weights())
    assert np.abs(symmetric.predict_on_batch(pixels) - features).max() > 0.1
