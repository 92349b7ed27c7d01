"""Towers of the registry: one command from SavedModel to a repository that scores alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from iq_serving.preprocessing import load_pixels
from iq_tools.cli import cli
from iq_tools.graph.runner import OnnxTower
from iq_tools.graph.tower import read_tower
from siamese_nima.towers.registry import TOWERS

# f32 in two libraries that add in another order.
TOLERANCE = 1e-4

Build = Callable[[str], tuple[Path, npt.NDArray[np.float32], npt.NDArray[np.uint8]]]


def _random_tower(name: str, pixels: npt.NDArray[np.uint8]) -> Any:
    """A tower with random weights whose scores of these photos differ."""
    import keras

    from siamese_nima.towers.registry import build_tower, get_tower

    keras.utils.set_random_seed(0)
    tower = get_tower(name)
    model = build_tower(tower)
    head = model.layers[-1]
    features = np.asarray(
        keras.Model(model.input, head.input)(tower.normalise(pixels.astype(np.float32)))
    )
    kernel = np.random.default_rng(0).normal(size=(features.shape[1], 10))
    kernel /= features.std(0).mean() * np.sqrt(len(kernel))
    head.set_weights([kernel, -features.mean(0) @ kernel])
    return model


@pytest.fixture
def build(example_photos: list[Path], tmp_path: Path) -> Build:
    """Builds a repository, and scores photos in Keras."""
    from siamese_nima.export import export_saved_model

    def run(name: str) -> tuple[Path, npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        tower = TOWERS[name]
        pixels = np.stack(
            [load_pixels(p.read_bytes(), image_size=tower.image_size) for p in example_photos[::3]]
        )
        model = _random_tower(name, pixels)
        saved_model = tmp_path / "saved_model"
        export_saved_model(tower, model, saved_model, interpolation="bilinear")
        result = CliRunner().invoke(
            cli, ["build", str(saved_model), "--output", str(tmp_path / "repository")]
        )
        assert result.exit_code == 0, result.output
        scores = np.asarray(
            model(tower.normalise(pixels.astype(np.float32)), training=False), np.float32
        )
        assert np.ptp(scores @ np.arange(1, 11)) > 0.1
        return tmp_path / "repository", scores, pixels

    return run


# `mobilenet` goes this way and on to the server in test_chain; `tf_mobilenet` is that with another
# padding.
@pytest.mark.parametrize("name", sorted(set(TOWERS) - {"mobilenet", "tf_mobilenet"}))
def test_every_tower_becomes_a_repository(name: str, build: Build) -> None:
    repository, expected, pixels = build(name)
    graph = repository / "nima_tower" / "1" / "model.onnx"
    assert read_tower(graph).name == name
    found = OnnxTower(graph).score(pixels)
    np.testing.assert_allclose(found["DISTRIBUTION"], expected, atol=TOLERANCE)
