"""The trainer on a small tower: it learns, stops, and survives a kill."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from siamese_nima.config import Stage, read_config, to_toml
from siamese_nima.data import DataConfig
from siamese_nima.errors import ConfigError, DataError, TrainingError
from siamese_nima.objective import LossWeights
from siamese_nima.preprocessing import load_pixels
from siamese_nima.towers import build_tower, get_tower
from siamese_nima.training import TrainConfig, train
from siamese_nima.weights import save_weights

Make = Callable[..., TrainConfig]
Condition = Callable[[keras.Model, np.ndarray], None]


@pytest.fixture
def make(labelled: Path) -> Make:
    """Configs of runs that take seconds: MobileNet at 32x32."""

    def config(output: str, **changes: object) -> TrainConfig:
        base = TrainConfig(
            tower="mobilenet",
            weights="random",
            data=DataConfig("labels", labelled / "photos", labelled / "labels.csv"),
            output=labelled / output,
            loss=LossWeights(logistic=1.0),
            head=Stage(epochs=1, learning_rate=1e-2),
            body=Stage(epochs=2, learning_rate=1e-3),
            held_out_share=0.4,
            freeze_through="conv_pw_12_relu",
            batch_size=8,
            image_size=32,
            seed=1,
        )
        return dataclasses.replace(base, **changes)  # type: ignore[arg-type]

    return config


def arrays(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found


def same_weights(a: Path, b: Path) -> bool:
    first, second = arrays(a), arrays(b)
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) for name in first
    )


def rows(folder: Path) -> list[dict[str, str]]:
    """The log without what the clock says."""
    with (folder / "log.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_config_survives_writing(make: Make, labelled: Path) -> None:
    for config in (make("a"), make("b", held_out=DataConfig("distortions", Path("x")))):
        (labelled / "c.toml").write_text(to_toml(config))
        assert read_config(TrainConfig, labelled / "c.toml") == config


def test_a_run_leaves_everything_that_it_promises(make: Make) -> None:
    config = make("run", loss=LossWeights(contrastive=1.0, logistic=1.0), mirror=True)
    position = train(config)
    folder = config.output
    assert [(row["phase"], row["epoch"]) for row in rows(folder)] == [
        ("head", "1"), ("body", "1"), ("body", "2"),
    ]  # fmt: skip
    assert json.loads((folder / "log.json").read_text()) == position.log
    assert position.best == max(row["held_out_pairwise_accuracy"] for row in position.log)
    held_out = (folder / "held_out.txt").read_text().split()
    assert 2 <= len(held_out) < 24
    assert read_config(TrainConfig, folder / "config.toml") == config
    # The head's phase and the frozen part leave the trunk as it was.
    start = arrays(train_head_only(make).output / "last.weights.h5")
    end = arrays(folder / "last.weights.h5")
    changed = {name.split("/")[0] for name in end if not np.array_equal(start[name], end[name])}
    assert changed <= {"conv_dw_13", "conv_pw_13", "dense_1"}
    assert {"conv_pw_13", "dense_1"} <= changed
    with pytest.raises(ConfigError, match="--resume"):
        train(config)


def train_head_only(make: Make) -> TrainConfig:
    config = make("head", body=Stage(epochs=0, learning_rate=1.0))
    train(config)
    return config


def test_it_learns_an_order(make: Make, labelled: Path, condition: Condition) -> None:
    keras.utils.set_random_seed(0)
    tower = get_tower("mobilenet")
    model = build_tower(tower, image_size=(32, 32))
    photos = (labelled / "photos").glob("*.png")
    pixels = np.stack([load_pixels(p.read_bytes(), image_size=(32, 32)) for p in photos])
    condition(model, tower.normalise(pixels.astype(np.float32)))
    save_weights(model, labelled / "w.h5")
    config = make(
        "learn",
        weights=str(labelled / "w.h5"),
        head=Stage(epochs=6, learning_rate=1e-3),
        body=Stage(epochs=3, learning_rate=1e-4),
    )
    position = train(config)
    assert position.best > 0.7, "chance is 0.5"
    assert position.log[-1]["loss"] < position.log[0]["loss"] / 5


def test_a_phase_ends_when_it_gets_no_better(make: Make) -> None:
    still = Stage(epochs=9, learning_rate=0.0)
    position = train(make("still", head=still, body=still, patience=2, pairing="all"))
    assert [(row["phase"], row["epoch"]) for row in position.log] == [
        ("head", 1), ("head", 2), ("head", 3), ("body", 1), ("body", 2), ("body", 3),
    ]  # fmt: skip


KILLED = """
import sys
from pathlib import Path
from siamese_nima.config import read_config
from siamese_nima.training import TrainConfig, train
train(read_config(TrainConfig, Path(sys.argv[1])))
"""


def test_a_killed_run_ends_like_one_that_was_not(make: Make, labelled: Path) -> None:
    # Accumulated gradients and the optimizer's moments must survive as well.
    options = {"accumulate": 3, "mirror": True, "head": Stage(epochs=2, learning_rate=1e-2)}
    whole, killed = make("whole", **options), make("killed", **options)
    train(whole)
    (labelled / "killed.toml").write_text(to_toml(killed))
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(labelled / "killed.toml")],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    while not (killed.output / "state.npz").exists():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(rows(killed.output) if (killed.output / "log.csv").exists() else []) < 4
    train(killed, resume=True)
    assert rows(killed.output) == rows(whole.output)
    for name in ("last.weights.h5", "best.weights.h5"):
        assert same_weights(killed.output / name, whole.output / name)


def test_a_loss_that_is_no_number_names_the_batch(make: Make) -> None:
    config = make("nan", head=Stage(epochs=3, learning_rate=math.inf))
    with pytest.raises(TrainingError, match=r"batch \d+ of head epoch \d") as caught:
        train(config)
    assert ".png" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"pairing": "some"}, ConfigError, "bucketed, all"),
        ({"loss": LossWeights()}, ConfigError, "nothing is to be learnt"),
        ({"loss": LossWeights(emd=1.0)}, ConfigError, "emd needs votes"),
        ({"batch_size": 7}, ConfigError, "even"),
        ({"held_out_share": 0.0}, DataError, "0 photos are held out"),
        ({"freeze_through": "conv_99"}, ConfigError, "conv_pw_12_relu"),
    ],
)
def test_mistakes_are_named(
    make: Make, changes: dict[str, object], error: type[Exception], message: str
) -> None:
    changes = {"head": Stage(epochs=0, learning_rate=1.0), **changes}
    with pytest.raises(error, match=message):
        train(make("mistake", **changes))
