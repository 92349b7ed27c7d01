"""Served graphs looked into, and with a taste in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from iq_serving.contract import DISTRIBUTION, MASK, MEAN, PIXELS, VOTES
from iq_serving.preprocessing import load_pixels
from siamese_nima.errors import WeightsError
from siamese_nima.personalise.graph import Looker, find_depths, with_taste
from siamese_nima.personalise.taste import Taste, tilted
from siamese_nima.towers.graph_files import read_graph, read_tower


@pytest.fixture(scope="module")
def graph(model_repository: Path) -> onnx.ModelProto:
    """The shipped graph."""
    return read_graph(model_repository / "nima_tower/1/model.onnx")


@pytest.fixture(scope="module")
def pixels(model_repository: Path, example_photos: list[Path]) -> npt.NDArray[np.uint8]:
    """A few photos."""
    size = read_tower(model_repository / "nima_tower/1/model.onnx").image_size
    return np.stack([load_pixels(p.read_bytes(), image_size=size) for p in example_photos[::4]])


def served(graph: onnx.ModelProto, pixels: npt.NDArray[np.uint8]) -> tuple[Any, Any]:
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    feed = {PIXELS: pixels, MASK: np.ones((len(pixels), 1), np.float32)}
    distributions, means = session.run([DISTRIBUTION, MEAN], feed)
    return distributions, means[:, 0]


def test_every_depth_is_seen(graph: onnx.ModelProto, pixels: npt.NDArray[np.uint8]) -> None:
    depths = find_depths(graph)
    assert len(depths.tensors) == 5, "strides of 2, 4, 8, 16 and 32"
    assert list(depths.channels) == sorted(depths.channels)
    features, logits = Looker(graph, depths)(pixels)
    assert features.shape == (len(pixels), sum(depths.channels))
    assert features.std(axis=0).max() > 0.01
    np.testing.assert_allclose(
        tilted(logits, np.zeros(len(pixels))), served(graph, pixels)[0], atol=1e-5
    )


def test_the_graph_tilts_as_the_taste_says(
    graph: onnx.ModelProto, pixels: npt.NDArray[np.uint8]
) -> None:
    depths = find_depths(graph)
    features, logits = Looker(graph, depths)(pixels)
    rng = np.random.default_rng(0)
    taste = Taste(rng.normal(size=features.shape[1]) / 10, 0.3)
    assert taste.of(features).std() > 0.1
    distributions, means = served(with_taste(graph, depths, taste), pixels)
    expected = tilted(logits, taste.of(features))
    np.testing.assert_allclose(distributions, expected, atol=1e-5)
    np.testing.assert_allclose(means, expected @ np.asarray(VOTES), atol=1e-4)
    assert np.abs(means - served(graph, pixels)[1]).max() > 0.05


def test_a_second_taste_comes_on_top(graph: onnx.ModelProto, pixels: npt.NDArray[np.uint8]) -> None:
    depths = find_depths(graph)
    up = Taste(np.zeros(sum(depths.channels)), 1.0)
    once = with_taste(graph, depths, up)
    twice = with_taste(once, find_depths(once), up)
    _, logits = Looker(graph, depths)(pixels)
    expected = tilted(logits, np.full(len(pixels), 2.0))
    np.testing.assert_allclose(served(twice, pixels)[0], expected, atol=1e-5)


def test_a_graph_without_activations() -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 10])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])
    node = helper.make_node("Softmax", ["x"], ["y"])
    with pytest.raises(WeightsError, match="0 activations"):
        find_depths(helper.make_model(helper.make_graph([node], "g", [value], [result])))
