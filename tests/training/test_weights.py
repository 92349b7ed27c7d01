"""Weight files: whole or refused, and the published scores come out of the published weights."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from iq_serving.preprocessing import load_pixels
from siamese_nima.distribution import mean_opinion_score, standard_deviation
from siamese_nima.errors import UnknownTowerError, WeightsError
from siamese_nima.towers import build_tower, get_tower
from siamese_nima.weights import load_weights, save_weights


def small_model(classes: int = 10) -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="dense")(x), name="small")


def weights_of(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(w) for w in model.get_weights()]


def test_round_trip(tmp_path: Path) -> None:
    saved, loaded = small_model(), small_model()
    save_weights(saved, tmp_path / "new folder" / "w.h5")
    load_weights(loaded, tmp_path / "new folder" / "w.h5")
    for a, b in zip(weights_of(saved), weights_of(loaded), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [p.name for p in (tmp_path / "new folder").iterdir()] == ["w.h5"]


def test_backbone_leaves_the_head_alone(tmp_path: Path) -> None:
    saved, loaded = small_model(), small_model()
    backbone = keras.Model(saved.input, saved.get_layer("pool").output)
    save_weights(backbone, tmp_path / "w.h5")
    head = weights_of(loaded)[-2]
    load_weights(loaded, tmp_path / "w.h5", headless=True)
    np.testing.assert_array_equal(weights_of(loaded)[-2], head)
    np.testing.assert_array_equal(weights_of(loaded)[0], weights_of(saved)[0])


def test_what_does_not_match_is_listed_and_nothing_is_loaded(tmp_path: Path) -> None:
    save_weights(small_model(classes=7), tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "a") as file:
        file.attrs["layer_names"] = [b"bn", b"dense", b"extra"]
        file.move("conv", "extra")
    model = small_model()
    before = weights_of(model)
    with pytest.raises(WeightsError) as caught:
        load_weights(model, tmp_path / "w.h5")
    for part in ("conv: not in the file", "extra: not in the model", "(4, 7)", "(4, 10)"):
        assert part in str(caught.value)
    for a, b in zip(before, weights_of(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weight file"):
        load_weights(small_model(), tmp_path / "missing.h5")
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(WeightsError, match="not a readable"):
        load_weights(small_model(), tmp_path / "text.h5")
    h5py.File(tmp_path / "empty.h5", "w").close()
    with pytest.raises(WeightsError, match="no layer names"):
        load_weights(small_model(), tmp_path / "empty.h5")


def test_published_scores_of_the_published_weights(data_folder: Path) -> None:
    folder = data_folder / "idealo_nima"
    golden = json.loads((folder / "golden.json").read_text())["tfkeras_asymmetric_pad"]
    tower = get_tower("mobilenet")
    model = build_tower(tower)
    load_weights(model, folder / "weights_mobilenet_aesthetic_0.07.hdf5")
    for photo, published in (
        ("42039", golden["aesthetic"]["42039"]),
        ("42041", golden["aesthetic"]["image.jpg (matches 42041)"]),
    ):
        data = (folder / "images" / f"{photo}.jpg").read_bytes()
        pixels = load_pixels(data, image_size=tower.image_size, interpolation="nearest")
        normalised = tower.normalise(pixels[None].astype(np.float32))
        (distribution,) = np.asarray(model.predict_on_batch(normalised))
        assert mean_opinion_score(distribution) == pytest.approx(published["mean"], abs=1e-3)
        assert standard_deviation(distribution) == pytest.approx(published["sd"], abs=1e-3)
        np.testing.assert_allclose(distribution, published["dist"], atol=1e-3)


def test_unknown_tower_lists_the_known() -> None:
    with pytest.raises(UnknownTowerError, match="efficientnet_lite0"):
        get_tower("resnet")
