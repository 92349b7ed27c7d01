"""The trainer on a small tower: it learns, stops, and survives a kill."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from rich.console import Console

from siamese_nima.cli import main
from siamese_nima.config import PhaseConfig, read_config, to_toml
from siamese_nima.data import DataConfig
from siamese_nima.errors import ConfigError, DataError, TrainingError
from siamese_nima.towers.registry import TOWERS, Tower
from siamese_nima.towers.weight_files import find_weights
from siamese_nima.train.checkpoint import read_position
from siamese_nima.train.config import SetConfig, TrainConfig
from siamese_nima.train.objective import LossWeights
from siamese_nima.train.run import train
from siamese_nima.train.sets import open_sets

Make = Callable[..., TrainConfig]


def arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    found: dict[str, npt.NDArray[Any]] = {}
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
    for name in ("best.weights.h5", "last.weights.h5"):
        found = find_weights(folder / name)
        assert (found.tower, found.interpolation) == (config.tower, config.interpolation)
        assert found.image_size == (config.image_size, config.image_size)
    # The head's phase and the frozen part leave the trunk as it was.
    start = arrays(train_head_only(make).output / "last.weights.h5")
    end = arrays(folder / "last.weights.h5")
    changed = {name.split("/")[0] for name in end if not np.array_equal(start[name], end[name])}
    assert changed == {"high", "dense_1"}
    with pytest.raises(ConfigError, match="--resume"):
        train(config)


def train_head_only(make: Make) -> TrainConfig:
    config = make("head", body=PhaseConfig(epochs=0, learning_rate=1.0))
    train(config)
    return config


def test_it_learns_the_order_of_distorted_photos(
    example_photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From random weights, on photos, judged by the distortions of photos it has not seen."""

    def backbone(input_shape: tuple[int, int, int]) -> keras.Model:
        x = pixels = keras.Input(input_shape)
        for filters in (16, 32, 64):
            x = keras.layers.Conv2D(filters, 3, 2, activation="relu", name=f"conv_{filters}")(x)
        return keras.Model(pixels, keras.layers.GlobalAveragePooling2D(name="pool")(x))

    small = Tower(
        "small", backbone, (96, 96), scale=1 / 64, offset=-2.0, dropout=0.0, freeze_through="0"
    )
    monkeypatch.setitem(TOWERS, "small", small)
    undistorted = [photo for photo in example_photos if "-" not in photo.stem]
    for number, photo in enumerate(undistorted):
        folder = tmp_path / ("judge" if number % 3 == 2 else "learn")
        folder.mkdir(exist_ok=True)
        (folder / photo.name).symlink_to(photo)
    position = train(
        TrainConfig(
            tower="small",
            weights="random",
            output=tmp_path / "run",
            sets=(
                SetConfig(
                    name="ladders",
                    data=DataConfig("distortions", tmp_path / "learn"),
                    held_out=DataConfig("distortions", tmp_path / "judge"),
                    loss=LossWeights(logistic=1.0),
                    batch_size=30,
                ),
            ),
            head=PhaseConfig(epochs=0, learning_rate=1e-3),
            body=PhaseConfig(epochs=12, learning_rate=3e-3),
            patience=12,
            seed=3,  # its random weights order 0.53 of the pairs right
        )
    )
    assert position.log[-1]["held_out_pairwise_accuracy"] > 0.75


@pytest.mark.parametrize(("kept", "constant"), [(1.0, 0.0), (0.0, 1.0)])
def test_features_that_are_alike_for_all_photos_are_counted_and_said(
    make: Make, tiny: Tower, monkeypatch: pytest.MonkeyPatch, kept: float, constant: float
) -> None:
    def backbone(input_shape: tuple[int, int, int]) -> keras.Model:
        whole = tiny.backbone(input_shape)
        return keras.Model(whole.input, keras.layers.Rescaling(kept)(whole.output))

    monkeypatch.setitem(TOWERS, "tiny", dataclasses.replace(tiny, backbone=backbone))
    none = PhaseConfig(epochs=0, learning_rate=0.0)
    config = make("run", head=PhaseConfig(epochs=1, learning_rate=1e-3), body=none)
    said = io.StringIO()
    position = train(config, console=Console(file=said, width=200))
    assert position.log[-1]["constant_features"] == constant
    assert ("lower learning_rate" in said.getvalue()) == bool(constant)


def test_a_phase_ends_when_it_gets_no_better(make: Make) -> None:
    still = PhaseConfig(epochs=9, learning_rate=0.0)
    position = train(make("still", head=still, body=still, patience=2, pairing="all"))
    assert [(row["phase"], row["epoch"]) for row in position.log] == [
        ("head", 1), ("head", 2), ("head", 3), ("body", 1), ("body", 2), ("body", 3),
    ]  # fmt: skip


# A process that dies when it has saved its third state, as if somebody had killed it then.
KILLED = """
import dataclasses, os, runpy, signal, sys
from pathlib import Path
from siamese_nima.config import read_config
from siamese_nima.towers.registry import TOWERS
from siamese_nima.train import epoch
from siamese_nima.train.config import TrainConfig
from siamese_nima.train.run import train
toml, conftest = sys.argv[1:]
TOWERS["tiny"] = dataclasses.replace(runpy.run_path(conftest)["tiny_tower"](), dropout=0.5)
save_state = epoch.save_state
def save(path, position, *state):
    save_state(path, position, *state)
    if position.step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
epoch.save_state = save
train(read_config(TrainConfig, Path(toml)))
"""
CONFTEST = Path(__file__).parents[1] / "conftest.py"


def test_a_killed_run_ends_like_one_that_was_not(
    make: Make, labelled: Path, tiny: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies one gradient after an update: what is accumulated, moments and averages survive."""
    monkeypatch.setitem(TOWERS, "tiny", dataclasses.replace(tiny, dropout=0.5))
    options: dict[str, Any] = {
        "accumulate": 2, "average": 0.9, "mirror": True, "crop": 0.2, "rescale": 0.2,
        "batch_size": 4, "save_minutes": 0.0,
    }  # fmt: skip
    whole, killed = make("whole", **options), make("killed", **options)
    (labelled / "killed.toml").write_text(to_toml(killed))
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(labelled / "killed.toml"), str(CONFTEST)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    train(whole)
    assert process.wait() == -signal.SIGKILL
    position = read_position(killed.output / "state.npz")
    assert (position.phase, position.epoch, position.step) == ("head", 0, 3)
    train(killed, resume=True)
    assert rows(killed.output) == rows(whole.output)
    for name in ("last.weights.h5", "best.weights.h5"):
        assert same_weights(killed.output / name, whole.output / name)


def test_the_average_of_weights_is_what_is_written_and_judged(make: Make) -> None:
    options: dict[str, Any] = {"body": PhaseConfig(epochs=0, learning_rate=1e-3), "batch_size": 4}
    plain, averaged = make("plain", **options), make("averaged", average=0.9, **options)
    train(plain)
    train(averaged)
    last, mean = (arrays(each.output / "last.weights.h5") for each in (plain, averaged))
    names = [name for name in last if not np.array_equal(last[name], mean[name])]
    assert names, "the average is another than the last weights"
    # The run itself goes on from the last weights, not from their average.
    state = np.load(averaged.output / "state.npz")
    for name in names:
        assert any(
            state[key].shape == last[name].shape and np.array_equal(state[key], last[name])
            for key in state.files
        )


def test_several_sets_are_learnt_at_once(make: Make, labelled: Path, tmp_path: Path) -> None:
    """Photos by label, single judgements, and ladders."""
    base = make("sets", batch_size=8)
    pairs = tmp_path / "pairs.csv"
    lines = [f"{index + 2}.png,{index}.png" for index in range(0, 21, 3)]
    pairs.write_text("winner,loser\n" + "\n".join(lines) + "\n")
    photos = labelled / "photos"
    config = dataclasses.replace(
        base,
        sets=(
            *base.sets,
            SetConfig("picks", DataConfig("pairs", photos, pairs), LossWeights(logistic=1.0), 2),
            SetConfig(
                "ladders", DataConfig("distortions", photos), LossWeights(margin=0.1), 6, rungs=3
            ),
        ),
    )
    config = dataclasses.replace(
        config,
        sets=tuple(dataclasses.replace(each, held_out_share=0.4) for each in config.sets),
    )
    log = train(config).log
    for name in ("photos_logistic", "picks_logistic", "ladders_margin"):
        assert log[0][name] > 0
    accuracies = [log[-1][f"{each.name}_held_out_pairwise_accuracy"] for each in config.sets]
    assert log[-1]["held_out_pairwise_accuracy"] == pytest.approx(np.mean(accuracies))
    # A photo that one set judges by is learnt from in none.
    training, held_out = open_sets(config)
    judged = {sample.digest for sample in held_out.samples}
    assert judged
    assert not judged & {sample.digest for sample in training.samples}


def test_a_loss_that_is_no_number_names_the_batch(make: Make) -> None:
    config = make("nan", head=PhaseConfig(epochs=3, learning_rate=math.inf))
    with pytest.raises(TrainingError, match=r"batch \d+ of head epoch \d") as caught:
        train(config)
    assert ".png" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"pairing": "some"}, ConfigError, "bucketed, all"),
        ({"loss": LossWeights()}, ConfigError, "nothing is to be learnt"),
        ({"loss": LossWeights(emd=1.0)}, ConfigError, "emd or squared_emd of photos needs votes"),
        ({"loss": LossWeights(squared_emd=1.0)}, ConfigError, "squared_emd of photos needs votes"),
        ({"batch_size": 7}, ConfigError, "even"),
        ({"held_out_share": 0.0}, ConfigError, "nothing is held out"),
        ({"held_out_share": 1e-9}, DataError, "0 photos of photos are held out"),
        ({"freeze_through": "conv_99"}, ConfigError, "low_relu"),
    ],
)
def test_mistakes_are_named(
    make: Make, changes: dict[str, object], error: type[Exception], message: str
) -> None:
    changes = {"head": PhaseConfig(epochs=0, learning_rate=1.0), **changes}
    with pytest.raises(error, match=message):
        train(make("mistake", **changes))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--strategy", "many"], "none, mirrored, multi_worker"),
        (["--cache-features", "--set", "mirror=true"], "a photo so changed is another"),
        (["--set", "precision=half"], "float32, mixed_bfloat16, mixed_float16"),
        (["--set", "sets.photos.batch_size=5"], "even"),
    ],
)
def test_options_are_keys(make: Make, labelled: Path, options: list[str], message: str) -> None:
    (labelled / "run.toml").write_text(to_toml(make("run")))
    result = CliRunner().invoke(main, ["train", str(labelled / "run.toml"), *options])
    assert result.exit_code == 2
    assert message in result.output
