"""Photos whose quality a tiny tower can tell: the brighter, the better."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A folder of 24 photos of three labels, and `labels.csv` in the seed's format."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(3)
    lines = ["file_name label"]
    for index in range(24):
        label = index % 3
        # Hardly any noise: an untrained tower makes much of it.
        noise = rng.integers(0, 4, (48, 64, 3))
        Image.fromarray((noise + 90 * label).astype(np.uint8)).save(folder / f"{index}.png")
        lines.append(f"{index}.png {label * 7 - 7}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture(scope="session")
def condition() -> Callable[[keras.Model, np.ndarray], None]:
    """Makes an untrained tower tell photos apart.

    Its batch normalisation takes the statistics of some pixels; with those it is built with, what
    reaches the head is next to nothing.
    """

    def condition(model: keras.Model, normalised: np.ndarray) -> None:
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.0  # one batch is all that there is
        model(normalised, training=True)

    return condition
