"""Weight files: whole or refused, and the published scores come out of the published weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import numpy.typing as npt
import pytest

from siamese_nima.errors import UnknownTowerError, WeightsError
from siamese_nima.towers.registry import get_tower
from siamese_nima.towers.weights import load_weights, save_weights


def small_model(classes: int = 10) -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="bn")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="dense")(x), name="small")


def weights_of(model: keras.Model) -> list[npt.NDArray[Any]]:
    return [np.asarray(w) for w in model.get_weights()]


def test_round_trip(tmp_path: Path) -> None:
    saved, loaded = small_model(), small_model()
    save_weights(saved, tmp_path / "new folder" / "w.h5")
    load_weights(loaded, tmp_path / "new folder" / "w.h5")
    for a, b in zip(weights_of(saved), weights_of(loaded), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [p.name for p in (tmp_path / "new folder").iterdir()] == ["w.h5"]


def test_an_interrupted_save_leaves_the_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = small_model()
    save_weights(saved, tmp_path / "w.h5")
    create = h5py.Group.create_dataset

    def fail_in_the_second_layer(group: h5py.Group, name: str, **options: object) -> object:
        if group.name == "/bn":
            raise OSError(28, "No space left on device")
        return create(group, name, **options)

    monkeypatch.setattr(h5py.Group, "create_dataset", fail_in_the_second_layer)
    with pytest.raises(OSError, match="No space"):
        save_weights(small_model(), tmp_path / "w.h5")
    loaded = small_model()
    load_weights(loaded, tmp_path / "w.h5")
    for a, b in zip(weights_of(saved), weights_of(loaded), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [path.name for path in tmp_path.iterdir()] == ["w.h5"]


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


def test_unknown_tower_lists_the_known() -> None:
    with pytest.raises(UnknownTowerError, match="efficientnet_lite0"):
        get_tower("resnet")
