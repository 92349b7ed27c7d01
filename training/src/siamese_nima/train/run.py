"""Runs of the trainer: two phases, pairs redrawn every epoch, the best tower kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from siamese_nima.config import PhaseConfig, to_toml
from siamese_nima.errors import ConfigError
from siamese_nima.files import write_atomically
from siamese_nima.towers.registry import build_tower
from siamese_nima.towers.weight_files import WeightFile, write_record
from siamese_nima.towers.weights import load_weights
from siamese_nima.train.centring import centre_head
from siamese_nima.train.checkpoint import Position, read_position, restore_state
from siamese_nima.train.config import PHASES, RANDOM, TrainConfig, check_share, checked
from siamese_nima.train.epoch import BEST_FILE, LAST_FILE, STATE_FILE, run_epoch
from siamese_nima.train.feeds import Feed
from siamese_nima.train.phase import Run, frozen_depths, pixel_feeds, prepare_phase
from siamese_nima.train.precision import precision
from siamese_nima.train.replicas import Replicas, open_replicas
from siamese_nima.train.sets import held_out_paths, open_sets
from siamese_nima.train.tensorboard import Board


def train(config: TrainConfig, *, resume: bool = False, console: Console | None = None) -> Position:
    """Trains a tower.

    Writes into `config.output`: `config.toml`, `held_out.txt`, `log.csv` and `log.json` (one row an
    epoch), `best.weights.h5` and `last.weights.h5` (the tower alone, with a record beside it of
    what it is), `state.npz` (all that a resumed run needs, also within an epoch), and, where they
    are asked for, `features` and `tensorboard`. A run killed at any moment and resumed ends with
    the same weights as one that was not. Of several processes of a run only the chief writes; all
    need the folder to resume.

    Args:
        config: The run.
        resume: Whether to go on with the run in the folder.
        console: Where progress is shown; nowhere without.

    Returns:
        How far it came, with its log.

    Raises:
        ConfigError: The config is at odds with itself or with the run in the folder.
        DataError: Too much of the data is bad, or nothing is left to learn from or to judge by.
        TrainingError: The loss is not finite; the message names the batch.
        WeightsError: The weight file does not fit.
    """
    tower = checked(config)
    replicas = open_replicas(config.strategy)
    check_share(config, replicas.count)
    text, state = to_toml(config), config.output / STATE_FILE
    if state.exists():
        if not resume:
            raise ConfigError(
                f"{config.output} holds a run: continue it with --resume, or give another output"
            )
        if (config.output / "config.toml").read_text() != text:
            raise ConfigError(f"the run in {config.output} has another config.toml")
    training, held_out = open_sets(config)
    size = (config.image_size, config.image_size) if config.image_size else None
    if replicas.chief and not state.exists():
        config.output.mkdir(parents=True, exist_ok=True)
        for name, content in (
            ("config.toml", text),
            ("held_out.txt", held_out_paths(held_out.samples)),
        ):
            with write_atomically(config.output / name) as partial:
                partial.write_text(content)
        for name in (BEST_FILE, LAST_FILE):
            write_record(WeightFile(config.output / name, config.tower, config.interpolation, size))
    keras.utils.set_random_seed(config.seed)
    with precision(config.precision), replicas.strategy.scope():
        dropout = None if config.dropout == -1 else config.dropout
        model = build_tower(tower, image_size=size, dropout=dropout)
    position = read_position(state) if state.exists() else Position(PHASES[0])
    if replicas.chief_value(position.epoch) != position.epoch:
        raise ConfigError(f"{state} is not the chief's: give all workers the same output folder")
    if not state.exists() and config.weights != RANDOM:
        load_weights(model, Path(config.weights).expanduser(), headless=config.headless)
    shown = console if console and replicas.chief else Console(quiet=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with (
        Progress(*columns, console=shown, transient=True) as progress,
        _board(config, replicas) as board,
    ):
        run = Run(config, tower, model, training, held_out, replicas, progress, board)
        depths = frozen_depths(config, tower, model)
        feeds = None if config.cache_features else pixel_feeds(run)
        for phase in PHASES[PHASES.index(position.phase) :]:
            _run_phase(run, phase, depths[phase], feeds, position)
    return position


@contextmanager
def _board(config: TrainConfig, replicas: Replicas) -> Iterator[Board | None]:
    """TensorBoard's events, if they are asked for and this is the chief."""
    if not config.tensorboard or not replicas.chief:
        yield None
        return
    board = Board(config.output / "tensorboard")
    try:
        yield board
    finally:
        board.close()


def _run_phase(
    run: Run, name: str, depth: int, feeds: tuple[Feed, Feed] | None, at: Position
) -> None:
    """Runs what is left of a phase."""
    if at.phase != name:
        at.phase, at.epoch, at.step = name, 0, 0
        at.phase_best, at.stale = -1.0, 0
    config: PhaseConfig = getattr(run.config, name)
    if config.epochs == 0:
        return
    phase = prepare_phase(run, name, depth, feeds)
    if at.epoch or at.step:
        restore_state(run.config.output / STATE_FILE, run.model, phase.optimizer)
    elif run.config.centre and not at.log:
        centre_head(run, phase)
    while at.epoch < config.epochs and at.stale < run.config.patience:
        run_epoch(run, phase, at)
