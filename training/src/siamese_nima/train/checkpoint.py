"""The full state of a run, written so that a kill at any moment leaves the one before or after."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from siamese_nima.errors import TrainingError
from siamese_nima.files import write_atomically


@dataclass(slots=True)
class Position:
    """Progress of a run.

    Attributes:
        phase: Name of the phase it is in.
        epoch: Epochs of the phase that are done.
        step: Steps of the next epoch that are done.
        sums: Sums of each loss over these steps.
        seconds: Seconds that they took.
        best: Best held-out pairwise accuracy so far, of all phases.
        phase_best: Best of this phase.
        stale: Epochs of this phase since its best.
        log: One row an epoch.
    """

    phase: str
    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    best: float = -1.0
    phase_best: float = -1.0
    stale: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)


def save_state(
    path: Path, position: Position, model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> None:
    """Writes position, weights, random states and optimizer in one step.

    Args:
        path: The `.npz` file.
        position: How far the run is.
        model: The tower; its layers' variables, dropout's seeds included, are kept.
        optimizer: Built for the model.
    """
    variables = {name: np.asarray(each) for name, each in _variables(model, optimizer).items()}
    with write_atomically(path) as partial, partial.open("wb") as file:
        np.savez(file, position=np.array(json.dumps(asdict(position))), **variables)


def read_position(path: Path) -> Position:
    """Reads how far a run is.

    Raises:
        TrainingError: The file is damaged.
    """
    try:
        with np.load(path) as state:
            return Position(**json.loads(str(state["position"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} is no state of a run: {error}") from error


def restore_state(path: Path, model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """Puts weights, random states and optimizer back.

    Args:
        path: What `save_state` wrote.
        model: Built alike.
        optimizer: Built alike for the model.

    Raises:
        TrainingError: The state is of another tower or phase.
    """
    variables = _variables(model, optimizer)
    with np.load(path) as state:
        for name, variable in variables.items():
            if name not in state or state[name].shape != tuple(variable.shape):
                raise TrainingError(f"{path} does not fit the run: {name} is not in it")
            variable.assign(state[name])


def _variables(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> dict[str, Any]:
    named = {
        f"{layer.name}.{index}": variable
        for layer in model.layers
        for index, variable in enumerate(layer.variables)
    }
    named |= {f"optimizer.{index}": each for index, each in enumerate(optimizer.variables)}
    return named
