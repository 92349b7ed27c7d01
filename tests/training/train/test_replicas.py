"""Several copies of a model that learn together, on this machine's processors."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.config import to_toml
from siamese_nima.errors import ConfigError
from siamese_nima.towers.weights import read_weights
from siamese_nima.train.config import TrainConfig
from siamese_nima.train.objective import LossWeights
from siamese_nima.train.pairs import FILLER
from siamese_nima.train.replicas import Replicas, open_replicas
from siamese_nima.train.run import train

Make = Callable[..., TrainConfig]

# A process of a run. Every copy draws dropout for itself, but this tower has none. What the process
# ends with is saved, for only the chief writes the run's folder.
PROCESS = """
import runpy, sys
from pathlib import Path
import tensorflow as tf
toml, ends, strategy, conftest = sys.argv[1:]
if strategy == "mirrored":
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
from siamese_nima.train import run as training
from siamese_nima.config import read_config
from siamese_nima.towers.registry import TOWERS
from siamese_nima.towers.weights import save_weights
TOWERS["tiny"] = runpy.run_path(conftest)["tiny_tower"]()
build, built = training.build_tower, []
training.build_tower = lambda *a, **b: built.append(build(*a, **b)) or built[-1]
training.train(read_config(training.TrainConfig, Path(toml)))
save_weights(built[0], Path(ends))
"""
CONFTEST = Path(__file__).parents[1] / "conftest.py"


def start(config: TrainConfig, ends: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    toml = ends.with_suffix(".toml")
    toml.write_text(to_toml(config))
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(toml), str(ends), config.strategy, str(CONFTEST)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def gap(a: Path, b: Path) -> float:
    first, second = read_weights(a), read_weights(b)
    assert first.keys() == second.keys()
    return max(
        float(np.abs(x - y).max())
        for name in first
        for x, y in zip(first[name], second[name], strict=True)
    )


def test_copies_learn_what_one_model_does(make: Make, labelled: Path) -> None:
    """Two devices of a process, and two processes; 24 photos make a last batch that is not full."""
    one = make("one", loss=LossWeights(logistic=1.0, contrastive=0.5), batch_size=16)
    mirrored = make("mirrored", sets=one.sets, strategy="mirrored")
    spread = make("spread", sets=one.sets, strategy="multi_worker")
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = [start(mirrored, labelled / "mirrored.h5", {})]
    for index, name in enumerate(("spread", "second")):
        place = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        processes.append(start(spread, labelled / f"{name}.h5", {"TF_CONFIG": json.dumps(place)}))
    train(one)
    for process in processes:
        finish(process)
    alone = json.loads((one.output / "log.json").read_text())
    for config in (mirrored, spread):
        ends = labelled / f"{config.output.name}.h5"
        # The order in which numbers are added up differs.
        assert gap(ends, one.output / "last.weights.h5") < 1e-4, config.strategy
        assert gap(ends, config.output / "last.weights.h5") == 0.0, config.strategy
        together = json.loads((config.output / "log.json").read_text())
        for row, same in zip(alone, together, strict=True):
            assert same["loss"] == pytest.approx(row["loss"], rel=1e-3), config.strategy
            assert (same["phase"], same["epoch"]) == (row["phase"], row["epoch"])
    assert gap(labelled / "spread.h5", labelled / "second.h5") == 0.0


@given(
    count=st.integers(1, 200),
    machines=st.integers(1, 4),
    local=st.integers(1, 3),
    pairs=st.integers(1, 4),
)
def test_every_place_is_somebodys(count: int, machines: int, local: int, pairs: int) -> None:
    copies, share = machines * local, 2 * pairs
    batch_size = share * copies
    strategy = tf.distribute.get_strategy()
    parts = []
    for machine in range(machines):
        replicas = Replicas(strategy, copies, local, machine * local)
        assert replicas.chief == (machine == 0)
        assert replicas.local_share(batch_size) == share * local
        parts.append(replicas.local_places(count, batch_size))
    if copies == 1:
        assert parts[0].tolist() == list(range(count))
        return
    batches = -(-count // batch_size)
    assert {len(part) for part in parts} == {batches * share * local}
    # Put together, batch by batch, they are the epoch in order.
    whole = np.stack([part.reshape(batches, -1) for part in parts], axis=1).ravel()
    assert whole[:count].tolist() == list(range(count))
    assert set(whole[count:]) <= {FILLER}
    for part in parts:
        first, second = part.reshape(-1, 2).T
        together = (second == first + 1) | (second == FILLER)
        assert together.all()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}']
)
def test_workers_that_nobody_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ConfigError, match="TF_CONFIG on every worker"):
        open_replicas("multi_worker")


def test_mistakes_are_named(make: Make) -> None:
    with pytest.raises(ConfigError, match="none, mirrored, multi_worker"):
        train(make("a", strategy="many"))
    with pytest.raises(ConfigError, match="accumulate and average work with strategy none"):
        train(make("b", strategy="mirrored", accumulate=2))
