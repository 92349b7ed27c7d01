"""Weights of a served graph: read back into the tower."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from iq_serving.contract import DISTRIBUTION, MASK, PIXELS
from iq_serving.preprocessing import load_pixels
from siamese_nima.errors import WeightsError
from siamese_nima.towers.graph_files import read_tower
from siamese_nima.towers.registry import build_tower, get_tower
from siamese_nima.towers.served_graph import load_graph
from siamese_nima.towers.weight_files import find_weights
from siamese_nima.towers.weights import load_tower, load_weights

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def graph(model_repository: Path) -> Path:
    """The graph of the shipped tower."""
    return model_repository / "nima_tower" / "1" / "model.onnx"


@pytest.fixture(scope="module")
def pixels(graph: Path, example_photos: list[Path]) -> Pixels:
    """Photos that the tower tells apart."""
    size = read_tower(graph).image_size
    return np.stack([load_pixels(p.read_bytes(), image_size=size) for p in example_photos[::4]])


def by_runtime(data: bytes, pixels: Pixels) -> Any:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    feed = {PIXELS: pixels, MASK: np.ones((len(pixels), 1), np.float32)}
    return session.run([DISTRIBUTION], feed)[0]


def test_the_tower_computes_what_the_graph_does(graph: Path, pixels: Pixels) -> None:
    expected = by_runtime(graph.read_bytes(), pixels)
    assert (expected @ np.arange(1, 11)).std() > 0.05
    loaded = load_tower(graph)
    assert loaded.tower.name == read_tower(graph).name
    normalised = loaded.tower.normalise(pixels.astype(np.float32))
    np.testing.assert_allclose(loaded.model(normalised), expected, atol=1e-5)


def test_the_graph_says_whose_it_is(graph: Path) -> None:
    tower = read_tower(graph)
    file = find_weights(graph)
    assert (file.tower, file.interpolation) == (tower.name, tower.interpolation)
    assert file.image_size == tower.image_size


def test_the_graph_of_another_tower_is_refused(graph: Path) -> None:
    other = next(
        name for name in ("mobilenet", "efficientnet_lite0") if name != read_tower(graph).name
    )
    model = build_tower(get_tower(other), image_size=(32, 32))
    before = model.get_weights()
    with pytest.raises(WeightsError, match="does not fit"):
        load_graph(model, graph)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x08\x12\x00"])
def test_a_file_that_is_no_graph(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"model\.onnx"):
        load_tower(path)


def test_a_graph_has_a_head(graph: Path) -> None:
    model = build_tower(get_tower(read_tower(graph).name), image_size=(32, 32))
    with pytest.raises(WeightsError, match="headless"):
        load_weights(model, graph, headless=True)


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no weight file"):
        find_weights(tmp_path / "model.onnx")
