"""Towers: names that never change, published files of their layout, and what is frozen."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from siamese_nima.errors import ConfigError, WeightsError
from siamese_nima.towers.freezing import freeze, frozen_depth
from siamese_nima.towers.naming import count_from_one, counted_from_one
from siamese_nima.towers.registry import TOWERS, build_tower, get_tower
from siamese_nima.towers.weights import load_weights


@cache
def tower(name: str) -> keras.Model:
    return build_tower(get_tower(name))


def small_model() -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3)(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Conv2D(4, 3, name="chosen")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="dense_1")(x), name="small")


def layer_names(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers]


def test_names_do_not_depend_on_what_was_built_before() -> None:
    first, second = small_model(), small_model()
    assert layer_names(first) != layer_names(second)
    assert layer_names(count_from_one(first)) == layer_names(count_from_one(second))
    assert [layer.name for layer in first.layers if layer.weights] == [
        "conv2d_1", "batch_normalization_1", "chosen", "batch_normalization_2", "dense_1",
    ]  # fmt: skip
    assert first.get_layer("conv2d_1") is first.layers[1]


def test_names_of_a_file_are_counted_from_one() -> None:
    names = counted_from_one(["conv2d", "conv2d_1", "batch_normalization_205", "conv1_bn", "dense"])
    assert names == {
        "conv2d": "conv2d_1",
        "conv2d_1": "conv2d_2",
        "batch_normalization_205": "batch_normalization_1",
        "conv1_bn": "conv1_bn",
        "dense": "dense_1",
    }


def values(model: keras.Model) -> dict[str, npt.NDArray[np.float32]]:
    return {
        f"{layer.name}/{variable.name}": variable.numpy().copy()
        for layer in model.layers
        for variable in layer.weights
    }


@pytest.mark.parametrize("name", TOWERS)
def test_freezes_at_a_layer_that_it_has(name: str) -> None:
    model = tower(name)
    assert model.output_shape == (None, 10)
    depth = frozen_depth(model, get_tower(name).freeze_through)
    assert 0 < depth < len(model.layers)
    freeze(model, depth)
    below = {variable.path for layer in model.layers[:depth] for variable in layer.weights}
    learning = {variable.path for variable in model.trainable_variables}
    assert learning and not learning & below
    assert not any("moving_" in path for path in learning)
    above = [each for each in model.layers[depth:] if each.weights]
    assert all({each.path for each in layer.weights} & learning for layer in above)


def test_normalisation_learns_scale_and_offset_and_keeps_its_statistics() -> None:
    model = count_from_one(small_model())
    model.get_layer("batch_normalization_2").moving_mean.assign(np.full(4, 0.1, np.float32))
    freeze(model, frozen_depth(model, "chosen"))
    before = values(model)
    pixels = keras.random.normal((4, 8, 8, 3), seed=1)
    with tf.GradientTape() as tape:
        loss = keras.ops.mean(keras.ops.square(model(pixels, training=True) - 1.0))
    variables = model.trainable_variables
    keras.optimizers.SGD(0.1).apply(tape.gradient(loss, variables), variables)
    after = values(model)
    assert {name for name in before if np.any(before[name] != after[name])} == {
        "batch_normalization_2/gamma",
        "batch_normalization_2/beta",
        "dense_1/kernel",
        "dense_1/bias",
    }


def test_depth_that_the_seed_freezes() -> None:
    model = tower("inception_resnet_v2")
    assert len(model.layers) == 783, "781 of the backbone, dropout, head"
    assert frozen_depth(model, "mixed_7a") == frozen_depth(model, "618") == 618
    assert frozen_depth(model, "") == 0
    with pytest.raises(ConfigError, match="mixed_7a"):
        frozen_depth(model, "mixed_9z")
    with pytest.raises(ConfigError, match="783"):
        frozen_depth(model, "784")


# Shapes of the published architecture: Keras 2 counts its layers in this order.
PUBLISHED = {
    "inception_resnet_v2": {
        "conv2d_1": (3, 3, 3, 32),
        "conv2d_5": (3, 3, 80, 192),
        "conv2d_6": (1, 1, 192, 96),
        "conv2d_7": (1, 1, 192, 48),
        "conv2d_8": (5, 5, 48, 64),
        "conv2d_203": (3, 1, 224, 256),
        "batch_normalization_203": (256,),
        "conv_7b": (1, 1, 2080, 1536),
        "dense_1": (1536, 10),
    },
    "mobilenet": {
        "conv1": (3, 3, 3, 32),
        "conv_dw_13": (3, 3, 1024, 1),
        "dense_1": (1024, 10),
    },
    "nasnet_mobile": {
        "stem_conv1": (3, 3, 3, 32),
        "adjust_conv_1_stem_2": (1, 1, 32, 11),
        "separable_conv_1_normal_left1_0": (5, 5, 44, 1),
        "reduction_conv_1_reduce_8": (1, 1, 528, 176),
        "separable_conv_1_reduction_right1_stem_1": (7, 7, 32, 1),
        "dense_1": (1056, 10),
    },
}


def keras_2_file(
    path: Path, model: keras.Model, rename: Callable[[str], str], rng: np.random.Generator
) -> dict[str, list[npt.NDArray[Any]]]:
    """A file as Keras 2's `save_weights` wrote it, layers without weights included."""
    values = {}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [rename(layer.name).encode() for layer in model.layers]
        file.attrs["keras_version"] = b"2.1.6"
        file.attrs["backend"] = b"tensorflow"
        for layer in model.layers:
            name = rename(layer.name)
            arrays = [rng.random(w.shape, np.float32) for w in layer.weights]
            names = [f"{name}/{index}_{w.name}:0" for index, w in enumerate(layer.weights)]
            group = file.create_group(name)
            group.attrs["weight_names"] = [each.encode() for each in names]
            for each, array in zip(names, arrays, strict=True):
                group[each] = array
            values[layer.name] = arrays
    return values


def shifted(name: str) -> str:
    """As if the process had built another InceptionResNetV2 before."""
    for kind, count in (("conv2d_", 203), ("batch_normalization_", 203), ("dense_", 1)):
        if name.startswith(kind):
            return f"{kind}{int(name.removeprefix(kind)) + count}"
    return name


def as_first_published(name: str) -> str:
    """titu1994's own NASNet calls a branch of its reduction cells differently than Keras."""
    return name.replace("_reduction_right1_", "_reduction_1_")


@pytest.mark.parametrize(
    ("name", "rename"),
    [
        ("inception_resnet_v2", lambda name: name),
        ("inception_resnet_v2", shifted),
        ("mobilenet", lambda name: name),
        ("nasnet_mobile", lambda name: name),
        ("nasnet_mobile", lambda name: "toplayer" if name == "dense_1" else name),
        ("nasnet_mobile", as_first_published),
    ],
)
def test_files_of_the_published_layout_load(
    name: str, rename: Callable[[str], str], tmp_path: Path
) -> None:
    model = tower(name)
    for layer, shape in PUBLISHED[name].items():
        assert tuple(model.get_layer(layer).weights[0].shape) == shape
    values = keras_2_file(tmp_path / "w.h5", model, rename, np.random.default_rng(1))
    load_weights(model, tmp_path / "w.h5")
    for layer in model.layers:
        for got, want in zip(layer.get_weights(), values[layer.name], strict=True):
            np.testing.assert_array_equal(got, want)


def test_a_missing_layer_is_named_although_the_others_are_counted(tmp_path: Path) -> None:
    x = pixels = keras.Input((8, 8, 3))
    for _ in range(3):
        x = keras.layers.Conv2D(4, 3)(x)
    model = count_from_one(keras.Model(pixels, x))
    keras_2_file(tmp_path / "w.h5", model, shifted, np.random.default_rng(1))
    with h5py.File(tmp_path / "w.h5", "a") as file:
        names = [shifted(name) for name in layer_names(model)]
        names.remove("conv2d_205")
        file.attrs["layer_names"] = [name.encode() for name in names]
    with pytest.raises(WeightsError) as caught:
        load_weights(model, tmp_path / "w.h5")
    assert str(caught.value).splitlines()[1:] == ["  conv2d_2: not in the file"]
