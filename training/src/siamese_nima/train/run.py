"""A run of the trainer: two phases, pairs redrawn every epoch, the best tower kept."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from siamese_nima.config import Stage, to_toml
from siamese_nima.distribution import Floats, mean_opinion_score
from siamese_nima.errors import ConfigError, TrainingError
from siamese_nima.evaluate.metrics import worst_pairs
from siamese_nima.files import write_atomically
from siamese_nima.towers.freezing import freeze, frozen_depth
from siamese_nima.towers.registry import Tower, build_tower
from siamese_nima.towers.weight_files import WeightFile, write_record
from siamese_nima.towers.weights import load_weights, save_weights
from siamese_nima.train.batches import LabelledSamples
from siamese_nima.train.checkpoint import Position, read_position, restore_state, save_state
from siamese_nima.train.config import PHASES, RANDOM, TrainConfig, check_share, checked
from siamese_nima.train.draws import Draw, draw_epoch, whole
from siamese_nima.train.feeds import (
    Feed,
    Learner,
    cut_layer,
    feature_feed,
    feature_learner,
    pixel_feed,
    pixel_learner,
)
from siamese_nima.train.judging import ACCURACY, judge
from siamese_nima.train.logs import write_log
from siamese_nima.train.objective import Objective
from siamese_nima.train.pairs import FILLER
from siamese_nima.train.precision import precision, scaled
from siamese_nima.train.replicas import Replicas, open_replicas
from siamese_nima.train.schedule import CLIP_NORM, adamw
from siamese_nima.train.sets import held_out_paths, open_sets
from siamese_nima.train.step import NOT_FINITE, Step, build_step
from siamese_nima.train.tensorboard import Board, draw_pairs

STATE_FILE: Final = "state.npz"
BEST_FILE: Final = "best.weights.h5"
LAST_FILE: Final = "last.weights.h5"

SHOWN_PAIRS: Final = 8  # of the worst-ranked held-out pairs, in TensorBoard


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
        run = _Run(config, tower, model, training, held_out, position, replicas, progress, board)
        for phase in PHASES[PHASES.index(position.phase) :]:
            run.phase(phase)
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


@dataclass(frozen=True, slots=True)
class _Phase:
    """One phase, ready to run.

    Attributes:
        name: One of `PHASES`.
        stage: Its epochs and rates.
        learner: The part of the tower that is computed in every step.
        predict: From inputs to distributions.
        training: Feed of what is learnt from.
        held_out: Feed of what is judged by.
        optimizer: Built for the part.
        step: One update.
    """

    name: str
    stage: Stage
    learner: Learner
    predict: Any
    training: Feed
    held_out: Feed
    optimizer: keras.optimizers.Optimizer
    step: Step


@dataclass(slots=True)
class _Run:
    """A run: what its phases and epochs share."""

    config: TrainConfig
    tower: Tower
    model: keras.Model
    training: LabelledSamples
    held_out: LabelledSamples
    position: Position
    replicas: Replicas
    progress: Progress
    board: Board | None
    depths: dict[str, int] = field(init=False)
    _pixel_feeds: tuple[Feed, Feed] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        through = self.config.freeze_through or self.tower.freeze_through
        self.depths = {
            "head": len(self.model.layers) - 1,
            "body": frozen_depth(self.model, through),
        }
        if self.config.cache_features:
            for name in PHASES:
                if self._stage(name).epochs:
                    cut_layer(self.model, self.depths[name])

    def phase(self, name: str) -> None:
        """Runs what is left of a phase."""
        stage, position = self._stage(name), self.position
        if position.phase != name:
            position.phase, position.epoch, position.step = name, 0, 0
            position.phase_best, position.stale = -1.0, 0
        if stage.epochs == 0:
            return
        freeze(self.model, self.depths[name])
        phase = self._prepared(name, stage)
        if position.epoch or position.step:
            restore_state(self._state, self.model, phase.optimizer)
        while position.epoch < stage.epochs and position.stale < self.config.patience:
            self._epoch(phase)

    @property
    def _state(self) -> Path:
        return self.config.output / STATE_FILE

    def _stage(self, name: str) -> Stage:
        stage: Stage = getattr(self.config, name)
        return stage

    def _prepared(self, name: str, stage: Stage) -> _Phase:
        config, replicas = self.config, self.replicas
        if config.cache_features:
            cut = cut_layer(self.model, self.depths[name])
            learner = feature_learner(self.model, cut)
            feeds = (self._features(cut, self.training), self._features(cut, self.held_out))
        else:
            learner = pixel_learner(self.tower, self.model)
            feeds = self._pixel_feeds or (self._pixels(self.training), self._pixels(self.held_out))
            self._pixel_feeds = feeds
        # Every epoch draws anew, but always as many.
        steps = stage.epochs * draw_epoch(config, self.training, name, 0)[1]
        with replicas.strategy.scope():
            optimizer = scaled(
                adamw(
                    stage,
                    steps,
                    accumulate=config.accumulate,
                    average=config.average,
                    clip_norm=CLIP_NORM if replicas.count == 1 else None,
                ),
                config.precision,
            )
            optimizer.build(self.model.trainable_variables)
        objectives = [
            Objective(each.name, each.loss, each.pairing, ties=each.data.form == "pairs")
            for each in config.sets
        ]
        step = build_step(
            learner.part, learner.prepare, learner.inputs, optimizer, objectives, replicas
        )
        return _Phase(name, stage, learner, learner.predictor(), *feeds, optimizer, step)

    def _pixels(self, labelled: LabelledSamples) -> Feed:
        return pixel_feed(
            labelled.samples,
            self.model.input_shape[1:3],
            self.config.interpolation,
            workers=self.config.workers,
            cache_mib=self.config.pixel_cache_mib,
        )

    def _features(self, cut: str, labelled: LabelledSamples) -> Feed:
        def shown(batches: Iterable[Any], count: int, title: str) -> Iterator[Any]:
            task = self.progress.add_task(title, total=count, rate="")
            for batch in batches:
                yield batch
                self.progress.advance(task)
            self.progress.remove_task(task)

        return feature_feed(
            self.tower,
            self.model,
            cut,
            labelled.samples,
            self.config.interpolation,
            self.config.features or self.config.output / "features",
            workers=self.config.workers,
            progress=shown,
        )

    def _epoch(self, phase: _Phase) -> None:
        """Runs what is left of an epoch, judges the tower, and writes the state."""
        position = self.position
        steps = self._steps(phase)
        with self._averaged(phase):
            means = self._means(phase)
            row = {
                **{key: value / steps for key, value in position.sums.items()},
                **judge(self.config.sets, self.held_out, means),
            }
            accuracy = self.replicas.chief_value(row[ACCURACY])
            better = accuracy > position.best
            if self.replicas.chief:
                save_weights(self.model, self.config.output / LAST_FILE)
                if better:
                    save_weights(self.model, self.config.output / BEST_FILE)
        position.epoch += 1
        seconds = round(position.seconds, 3)
        position.log.append(
            {"phase": phase.name, "epoch": position.epoch, **row, "seconds": seconds}
        )
        position.step, position.sums, position.seconds = 0, {}, 0.0
        position.stale = 0 if accuracy > position.phase_best else position.stale + 1
        position.phase_best = max(position.phase_best, accuracy)
        position.best = max(position.best, accuracy)
        if self.replicas.chief:
            save_state(self._state, position, self.model, phase.optimizer)
            write_log(self.config.output, position.log)
            self._show(phase, row, means)
        self.progress.console.print(
            f"{phase.name} {position.epoch}/{phase.stage.epochs}: loss {row['loss']:.4f}, "
            + ", ".join(f"{k} {v:.4f}" for k, v in row.items() if "held_out" in k),
            highlight=False,
        )

    def _steps(self, phase: _Phase) -> int:
        """Runs the steps of an epoch that are not done yet, and counts them all."""
        config, position = self.config, self.position
        draw, steps = draw_epoch(config, self.training, phase.name, position.epoch)
        places = self.replicas.local_places(len(draw.rows), config.batch_size)
        share = self.replicas.local_share(config.batch_size)
        local = draw.at(places[position.step * share :])
        title = f"{phase.name} {position.epoch + 1}/{phase.stage.epochs}"
        task = self.progress.add_task(title, total=steps, completed=position.step, rate="")
        saved = began = time.monotonic()
        before, first = position.seconds, position.step
        for tensor, inputs in phase.training(local, share):
            self._step(phase, tensor.numpy(), inputs, steps)
            position.step += 1
            now = time.monotonic()
            position.seconds = before + now - began
            rate = (position.step - first) * config.batch_size / (now - began)
            mean = position.sums["loss"] / position.step
            self.progress.update(
                task, advance=1, description=f"{title} {mean:.4f}", rate=f"{rate:.1f} photos/s"
            )
            if now - saved > 60 * config.save_minutes and position.step < steps:
                saved = now
                if self.replicas.chief:
                    save_state(self._state, position, self.model, phase.optimizer)
                if not self.progress.console.is_terminal:
                    left = (steps - position.step) * config.batch_size / rate / 60
                    self.progress.console.print(
                        f"{title}: {position.step}/{steps} steps, loss {mean:.4f}, "
                        f"{rate:.1f} photos/s, {left:.0f} min to go",
                        highlight=False,
                    )
        self.progress.remove_task(task)
        return steps

    def _step(self, phase: _Phase, rows: Any, inputs: Any, steps: int) -> None:
        """One update, whose losses are added up."""
        position = self.position
        number = position.epoch * steps + position.step
        if self.board:
            rate = {"learning_rate": float(phase.optimizer.learning_rate)}
            self.board.scalars(f"{phase.name}_step", rate, number)
        try:
            parts = phase.step(inputs, self.training.batch(rows))
        except tf.errors.InvalidArgumentError as error:
            if NOT_FINITE not in error.message:
                raise
            real = rows[rows != FILLER]
            files = sorted({str(self.training.samples[row].path) for row in real})
            raise TrainingError(
                f"{NOT_FINITE} in batch {position.step + 1} of {phase.name} epoch "
                f"{position.epoch + 1}; the last state is kept. Its photos:\n  "
                + "\n  ".join(files)
            ) from error
        values = {key: float(value) for key, value in parts.items()}
        for key, value in values.items():
            position.sums[key] = position.sums.get(key, 0.0) + value
        if self.board:
            self.board.scalars(f"{phase.name}_step", values, number)

    @contextmanager
    def _averaged(self, phase: _Phase) -> Iterator[None]:
        """Puts the average of weights into the tower for a while, where one is kept."""
        if not self.config.average:
            yield
            return
        variables = self.model.trainable_variables
        last = [np.array(each) for each in variables]
        phase.optimizer.finalize_variable_values(variables)
        try:
            yield
        finally:
            for variable, value in zip(variables, last, strict=True):
                variable.assign(value)

    def _means(self, phase: _Phase) -> Floats:
        """Means of the held-out photos."""
        draw: Draw = whole(np.arange(len(self.held_out.samples)))
        batches = phase.held_out(draw, self.config.batch_size)
        return mean_opinion_score(
            np.concatenate([phase.predict(pixels).numpy() for _, pixels in batches])
        )

    def _show(self, phase: _Phase, row: dict[str, float], means: Floats) -> None:
        """An epoch in TensorBoard."""
        if not self.board:
            return
        held_out, epoch = self.held_out, self.position.epoch
        self.board.scalars(phase.name, row, epoch)
        better, worse = worst_pairs(held_out.score, means, held_out.group, SHOWN_PAIRS)
        if len(better):
            interpolation = self.config.interpolation
            picture = draw_pairs(
                held_out.samples, means, better, worse, interpolation=interpolation
            )
            self.board.picture(f"{phase.name}/worst_ranked_held_out_pairs", picture, epoch)
        self.board.flush()
