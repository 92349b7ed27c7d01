"""Mistakes in a distillation: one line, not a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from siamese_nima.config import PhaseConfig, RunConfig, to_toml
from siamese_nima.features import FeatureSet
from siamese_nima.towers.parts import tower_part
from siamese_nima.towers.registry import TOWERS, Tower, build_tower
from siamese_nima.towers.weights import save_weights


@pytest.fixture
def config(labelled: Path, tiny: Tower, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a distillation of `tiny` into `tiny`."""
    monkeypatch.setitem(TOWERS, "tiny", tiny)
    model = build_tower(tiny)
    save_weights(model, labelled / "teacher.h5")
    save_weights(tower_part(model, through="pool"), labelled / "backbone.h5")
    stage = PhaseConfig(epochs=1, learning_rate=1e-3)
    run = RunConfig(
        "tiny", labelled / "backbone.h5", "tiny", labelled / "teacher.h5", (labelled / "photos",),
        labelled / "run", stage, stage, freeze_through="low_relu",
    )  # fmt: skip
    file = labelled / "run.toml"
    file.write_text(to_toml(run))
    return file


@pytest.mark.parametrize("command", ["prepare", "distil", "tune"])
def test_a_mistyped_layer_is_named(run: Callable[..., Result], config: Path, command: str) -> None:
    save_weights(build_tower(TOWERS["tiny"]), config.parent / "run" / "distilled.weights.h5")
    one = FeatureSet(
        features=np.zeros((1, 7, 7, 8), np.float16),
        teacher=np.zeros((1, 10), np.float32),
        hints=np.zeros((1, 3, 3, 8), np.float16),
        photo=np.zeros(1, np.int32),
        kind=np.zeros(1, np.int32),
        severity=np.zeros(1, np.float32),
        whole=np.zeros(1, np.bool_),
    )
    for name in ("train", "held_out"):
        one.save(config.parent / "run" / "features" / name)
    result = run(command, config, "--set", "freeze_through=low_rely")
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    assert "has no layer 'low_rely'; it has" in result.stderr


def test_an_unreadable_photo_is_told(run: Callable[..., Result], config: Path) -> None:
    (config.parent / "photos" / "0.png").write_bytes(b"not a photo")
    result = run("prepare", config)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    assert "Error: a photo cannot be read, UNREADABLE" in result.stderr
    assert "siamese-nima data check" in result.stderr
