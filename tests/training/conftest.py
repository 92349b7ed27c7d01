"""Photos whose quality a tiny tower can tell: the brighter, the better."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import layers
from PIL import Image

from siamese_nima.config import PhaseConfig
from siamese_nima.data import DataConfig
from siamese_nima.towers.registry import TOWERS, Tower
from siamese_nima.train.config import SetConfig, TrainConfig
from siamese_nima.train.objective import LossWeights


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
def condition() -> Callable[[keras.Model, npt.NDArray[Any]], None]:
    """Makes an untrained tower tell photos apart.

    Its batch normalisation takes the statistics of some pixels; with those it is built with, what
    reaches the head is next to nothing.
    """

    def condition(model: keras.Model, normalised: npt.NDArray[Any]) -> None:
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.0  # one batch is all that there is
        model(normalised, training=True)

    return condition


@pytest.fixture
def make(
    labelled: Path, tiny: Tower, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., TrainConfig]:
    """Configs of runs that take a second: `tiny`, now in the registry, and one set.

    A key of `SetConfig` changes that set.
    """
    monkeypatch.setitem(TOWERS, "tiny", tiny)

    def config(output: str, **changes: object) -> TrainConfig:
        photos = SetConfig(
            name="photos",
            data=DataConfig("labels", labelled / "photos", labelled / "labels.csv"),
            loss=LossWeights(logistic=1.0),
            pairing="bucketed",
            batch_size=8,
            held_out_share=0.4,
        )
        of_set = {key: changes.pop(key) for key in list(changes) if hasattr(photos, key)}
        base = TrainConfig(
            tower="tiny",
            weights="random",
            output=labelled / output,
            sets=(dataclasses.replace(photos, **of_set),),  # type: ignore[arg-type]
            head=PhaseConfig(epochs=1, learning_rate=1e-2),
            body=PhaseConfig(epochs=2, learning_rate=1e-3),
            freeze_through="low_relu",
            image_size=16,
            seed=1,
        )
        return dataclasses.replace(base, **changes)  # type: ignore[arg-type]

    return config


def tiny_tower() -> Tower:
    """A tower that is built and traced in no time; there is a way around `high_relu`."""

    def backbone(input_shape: tuple[int, int, int]) -> keras.Model:
        pixels = keras.Input(input_shape)
        x = layers.Conv2D(8, 3, 2, name="low")(pixels)
        x = layers.ReLU(name="low_relu")(x)
        x = layers.Conv2D(8, 3, 2, name="high")(x)
        x = layers.Add(name="sum")([layers.ReLU(name="high_relu")(x), x])
        return keras.Model(pixels, layers.GlobalAveragePooling2D(name="pool")(x))

    return Tower(
        "tiny", backbone, (16, 16), scale=1 / 128, offset=-1.0, dropout=0.0, freeze_through="low"
    )


@pytest.fixture(scope="session")
def tiny() -> Tower:
    """See `tiny_tower`."""
    return tiny_tower()
