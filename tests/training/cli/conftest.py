"""Commands, and models that they score with in no time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result

from siamese_nima.cli import main
from siamese_nima.export import export_saved_model
from siamese_nima.towers.registry import Tower, build_tower
from siamese_nima.towers.weights import save_weights


@pytest.fixture(scope="session")
def run() -> Callable[..., Result]:
    """Runs `siamese-nima` with the words given."""
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="session")
def saved_models(
    tmp_path_factory: pytest.TempPathFactory,
    tiny: Tower,
    condition: Callable[[keras.Model, npt.NDArray[Any]], None],
) -> tuple[Path, Path]:
    """SavedModels of two towers of other weights; the weights of `X` are in `X.h5`."""
    folder = tmp_path_factory.mktemp("saved_models")
    flat = np.linspace(-1, 1, 8, dtype=np.float32)[:, None, None, None]
    pixels = np.broadcast_to(flat, (8, *tiny.image_size, 3))
    for seed, name in ((1, "first"), (2, "second")):
        keras.utils.set_random_seed(seed)
        model = build_tower(tiny)
        condition(model, pixels)
        means = np.asarray(model(pixels)) @ np.arange(1, 11)
        assert means.std() > 0.01, "its scores tell photos apart"
        save_weights(model, folder / f"{name}.h5")
        export_saved_model(tiny, model, folder / name, interpolation="bilinear")
    return folder / "first", folder / "second"
