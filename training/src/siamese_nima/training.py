"""The Siamese trainer: two phases, pairs redrawn every epoch, the best tower kept."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from rich.console import Console
from rich.progress import Progress

from siamese_nima.checkpoint import Position, read_position, restore_state, save_state
from siamese_nima.config import Stage, to_toml
from siamese_nima.data import DataConfig, inspect
from siamese_nima.distribution import Floats, mean_opinion_score
from siamese_nima.errors import ConfigError, DataError, TrainingError
from siamese_nima.labelled import FILLER, LabelledSet
from siamese_nima.learner import (
    Feed,
    Learner,
    cut_layer,
    feature_feed,
    feature_learner,
    pixel_feed,
    pixel_learner,
)
from siamese_nima.metrics import pairwise_accuracy, worst_pairs
from siamese_nima.objective import LossWeights
from siamese_nima.pairs import PAIRINGS, draw_all, draw_bucketed
from siamese_nima.precision import PRECISIONS, precision, scaled
from siamese_nima.replicas import STRATEGIES, Replicas, open_replicas
from siamese_nima.schedule import CLIP_NORM, adamw
from siamese_nima.step import NOT_FINITE, Step, build_step
from siamese_nima.summaries import Board, draw_pairs
from siamese_nima.towers import Tower, build_tower, freeze, frozen_depth, get_tower
from siamese_nima.weight_files import WeightFile, write_record
from siamese_nima.weights import load_weights, save_weights

PHASES: Final = ("head", "body")
RANDOM: Final = "random"  # the value of `weights` that asks for an untrained start

STATE_FILE: Final = "state.npz"
BEST_FILE: Final = "best.weights.h5"
LAST_FILE: Final = "last.weights.h5"

SHOWN_PAIRS: Final = 8  # of the worst-ranked held-out pairs, in TensorBoard


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """A run of the Siamese trainer.

    Attributes:
        tower: Name in the registry.
        weights: Weight file to start from, or `random`.
        data: The labelled photos.
        output: Folder of the run: config, log, checkpoints.
        loss: What is minimised.
        head: First phase: the head alone learns.
        body: Second phase: everything above `freeze_through` learns.
        headless: Whether `weights` holds a backbone without the head of NIMA.
        held_out: Labelled photos to judge by; without them, a share of `data` is held out.
        held_out_share: That share, by content hash.
        freeze_through: The last frozen layer of the second phase or the number of frozen layers
            (`618`), empty for the tower's default, `0` for none.
        pairing: A key of `pairs.PAIRINGS`.
        bucket_width: Scores are cut into buckets of this width.
        batch_size: Images a step; even, so that pairs stay together.
        accumulate: Steps whose gradients are averaged into one update.
        mirror: Whether half of the photos are mirrored, drawn anew each epoch.
        interpolation: How photos are resized; one of `contract.INTERPOLATIONS`.
        image_size: Side of the pixels, 0 for the tower's own.
        patience: Epochs of a phase without a better held-out accuracy before it ends.
        workers: Decoders at work at once, 0 for one a core.
        pixel_cache_mib: Memory for decoded photos of each set; what fits is decoded once.
        seed: Seed of initial weights, dropout, pairs and mirroring.
        cache_features: Whether the frozen part's output is computed once and kept on disk.
        features: Folder of what is kept, for several runs to share; `features` in `output` if none.
        precision: A key of `precision.PRECISIONS`.
        strategy: A key of `replicas.STRATEGIES`.
        tensorboard: Whether events are written for TensorBoard, into `tensorboard` in `output`.
    """

    tower: str
    weights: str
    data: DataConfig
    output: Path
    loss: LossWeights
    head: Stage
    body: Stage
    headless: bool = False
    held_out: DataConfig | None = None
    held_out_share: float = 0.15
    freeze_through: str = ""
    pairing: str = "bucketed"
    bucket_width: float = 1.0
    batch_size: int = 32
    accumulate: int = 1
    mirror: bool = False
    interpolation: str = "bilinear"
    image_size: int = 0
    patience: int = 5
    workers: int = 0
    pixel_cache_mib: int = 1024
    seed: int = 0
    cache_features: bool = False
    features: Path | None = None
    precision: str = "float32"
    strategy: str = "none"
    tensorboard: bool = False


def train(config: TrainConfig, *, resume: bool = False, console: Console | None = None) -> Position:
    """Trains a tower.

    Writes into `config.output`: `config.toml`, `held_out.txt`, `log.csv` and `log.json` (one row an
    epoch), `best.weights.h5` and `last.weights.h5` (the tower alone, with a record beside it of
    what it is), `state.npz` (all that a resumed run needs), and, where they are asked for,
    `features` and `tensorboard`. A run killed at any moment and resumed ends with the same weights
    as one that was not. Of several processes of a run only the chief writes; all need the folder to
    resume.

    Args:
        config: The run.
        resume: Whether to go on with the run in the folder.
        console: Where the progress bar is shown; nowhere without.

    Returns:
        How far it came, with its log.

    Raises:
        ConfigError: The config is at odds with itself or with the run in the folder.
        DataError: Too much of the data is bad, or nothing is left to learn from or to judge by.
        TrainingError: The loss is not finite; the message names the batch.
        WeightsError: The weight file does not fit.
    """
    tower = _checked(config)
    replicas = open_replicas(config.strategy)
    _check_share(config, replicas)
    text, state = to_toml(config), config.output / STATE_FILE
    if state.exists():
        if not resume:
            raise ConfigError(
                f"{config.output} holds a run: continue it with --resume, or give another output"
            )
        if (config.output / "config.toml").read_text() != text:
            raise ConfigError(f"the run in {config.output} has another config.toml")
    training_set, held_out = _sets(config)
    size = (config.image_size, config.image_size) if config.image_size else None
    if replicas.chief and not state.exists():
        config.output.mkdir(parents=True, exist_ok=True)
        (config.output / "config.toml").write_text(text)
        (config.output / "held_out.txt").write_text(
            "".join(f"{path}\n" for path in dict.fromkeys(s.path for s in held_out.samples))
        )
        for name in (BEST_FILE, LAST_FILE):
            write_record(WeightFile(config.output / name, config.tower, config.interpolation, size))
    keras.utils.set_random_seed(config.seed)
    with precision(config.precision), replicas.strategy.scope():
        model = build_tower(tower, image_size=size)
    position = read_position(state) if state.exists() else Position(PHASES[0])
    if replicas.chief_value(position.epoch) != position.epoch:
        raise ConfigError(f"{state} is not the chief's: give all workers the same output folder")
    if not state.exists() and config.weights != RANDOM:
        load_weights(model, Path(config.weights).expanduser(), headless=config.headless)
    shown = console if console and replicas.chief else Console(quiet=True)
    with Progress(console=shown, transient=True) as progress, _board(config, replicas) as board:
        run = _Run(
            config, tower, model, training_set, held_out, position, replicas, progress, board
        )
        for phase in PHASES[PHASES.index(position.phase) :]:
            run.phase(phase, state)
    return position


def _checked(config: TrainConfig) -> Tower:
    """The tower, after the config was found sound."""
    if config.pairing not in PAIRINGS:
        raise ConfigError(f"pairing is {config.pairing!r}, not one of {', '.join(PAIRINGS)}")
    weights = config.loss
    if not any((weights.emd, weights.contrastive, weights.logistic, weights.margin)):
        raise ConfigError("every weight in [loss] is 0: nothing is to be learnt")
    if config.batch_size < 2 or config.batch_size % 2 or config.accumulate < 1:
        raise ConfigError("batch_size must be even and above 0, accumulate at least 1")
    if config.head.epochs + config.body.epochs < 1:
        raise ConfigError("head.epochs and body.epochs are both 0")
    if config.precision not in PRECISIONS:
        raise ConfigError(f"precision is {config.precision!r}, not one of {', '.join(PRECISIONS)}")
    if config.strategy not in STRATEGIES:
        raise ConfigError(f"strategy is {config.strategy!r}, not one of {', '.join(STRATEGIES)}")
    if config.strategy != "none" and config.accumulate > 1:
        # Keras decides inside the graph whether a step updates; there no replicas can meet.
        raise ConfigError("accumulate works with strategy none only: raise batch_size instead")
    if config.cache_features and config.mirror:
        raise ConfigError(
            "cache_features and mirror exclude each other: a mirrored photo is another"
        )
    return get_tower(config.tower)


def _check_share(config: TrainConfig, replicas: Replicas) -> None:
    if config.batch_size % (2 * replicas.count):
        raise ConfigError(
            f"batch_size is {config.batch_size}; {replicas.count} replicas need a multiple of "
            f"{2 * replicas.count}, so that pairs stay together"
        )


def _sets(config: TrainConfig) -> tuple[LabelledSet, LabelledSet]:
    """What to learn from and what to judge by; photos of the latter are in none of the former."""
    inspection = inspect(config.data)
    inspection.require(config.data.max_bad_share)
    if config.held_out is None:
        training, held_out = inspection.split(config.held_out_share)
    else:
        judged = inspect(config.held_out)
        judged.require(config.held_out.max_bad_share)
        digests = {sample.digest for sample in judged.samples}
        held_out = judged.samples
        training = [sample for sample in inspection.samples if sample.digest not in digests]
    sets = [LabelledSet(side, bucket_width=config.bucket_width) for side in (training, held_out)]
    if len(training) < 2:
        raise DataError("fewer than two photos to learn from")
    if config.loss.emd and not sets[0].votes.any():
        raise ConfigError("loss.emd needs votes: the form histograms or ava")
    if not len(held_out) or math.isnan(
        pairwise_accuracy(sets[1].score, sets[1].score, sets[1].group)
    ):
        raise DataError(
            f"{len(held_out)} photos are held out, no two of different scores: "
            "raise held_out_share or give [held_out]"
        )
    return sets[0], sets[1]


@contextmanager
def _board(config: TrainConfig, replicas: Replicas) -> Iterator[Board | None]:
    """Where the chief shows the run, if that is asked for."""
    if not config.tensorboard or not replicas.chief:
        yield None
        return
    board = Board(config.output / "tensorboard")
    try:
        yield board
    finally:
        board.close()


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What a phase computes in every step, and what it is fed."""

    learner: Learner
    predict: Any
    training: Feed
    held_out: Feed


class _Run:
    """What the epochs of a run share."""

    def __init__(
        self,
        config: TrainConfig,
        tower: Tower,
        model: keras.Model,
        training_set: LabelledSet,
        held_out: LabelledSet,
        position: Position,
        replicas: Replicas,
        progress: Progress,
        board: Board | None,
    ) -> None:
        self._config = config
        self._tower = tower
        self._model = model
        self._training_set = training_set
        self._held_out = held_out
        self._position = position
        self._replicas = replicas
        self._progress = progress
        self._board = board
        through = config.freeze_through or tower.freeze_through
        self._depths = {"head": len(model.layers) - 1, "body": frozen_depth(model, through)}
        if config.cache_features:
            for phase in PHASES:
                if getattr(config, phase).epochs:
                    cut_layer(model, self._depths[phase])
            self._pixels = None
        else:
            self._pixels = self._pixel_inputs()

    def phase(self, name: str, state: Path) -> None:
        """Runs what is left of a phase, and writes the state after every epoch."""
        config, position = self._config, self._position
        stage: Stage = getattr(config, name)
        if position.phase != name:
            position.phase, position.epoch = name, 0
            position.phase_best, position.stale = -1.0, 0
        if stage.epochs == 0:
            return
        freeze(self._model, self._depths[name])
        inputs = self._pixels or self._feature_inputs(self._depths[name])
        optimizer = self._optimizer(stage, name)
        if position.epoch:
            restore_state(state, self._model, optimizer)
        learner = inputs.learner
        step = build_step(
            learner.part,
            learner.prepare,
            learner.inputs,
            optimizer,
            config.loss,
            config.pairing,
            self._replicas,
        )
        while position.epoch < stage.epochs and position.stale < config.patience:
            started = time.monotonic()
            row = self._epoch(name, position.epoch, stage, inputs, step, optimizer)
            predicted = self._predicted(inputs)
            accuracy = self._accuracy(predicted)
            position.epoch += 1
            row = {**row, "held_out_pairwise_accuracy": accuracy}
            seconds = round(time.monotonic() - started, 3)
            position.log.append({"phase": name, "epoch": position.epoch, **row, "seconds": seconds})
            position.stale = 0 if accuracy > position.phase_best else position.stale + 1
            position.phase_best = max(position.phase_best, accuracy)
            better = accuracy > position.best
            position.best = max(position.best, accuracy)
            if self._replicas.chief:
                self._write(state, optimizer, better)
                self._show(name, row, predicted)
            self._progress.console.print(
                f"{name} {position.epoch}/{stage.epochs}: loss {row['loss']:.4f}, "
                f"held-out pairwise accuracy {accuracy:.4f}"
            )

    def _pixel_inputs(self) -> _Inputs:
        config, learner = self._config, pixel_learner(self._tower, self._model)

        def feed(labelled: LabelledSet) -> Feed:
            return pixel_feed(
                labelled.samples,
                self._model.input_shape[1:3],
                config.interpolation,
                workers=config.workers,
                cache_mib=config.pixel_cache_mib,
            )

        training, held_out = feed(self._training_set), feed(self._held_out)
        return _Inputs(learner, learner.predictor(), training, held_out)

    def _feature_inputs(self, depth: int) -> _Inputs:
        config, cut = self._config, cut_layer(self._model, depth)
        learner = feature_learner(self._model, cut)

        def shown(batches: Iterable[Any], count: int, title: str) -> Iterator[Any]:
            yield from self._progress.track(batches, count, description=title)

        def feed(labelled: LabelledSet) -> Feed:
            return feature_feed(
                self._tower,
                self._model,
                cut,
                labelled.samples,
                config.interpolation,
                config.features or config.output / "features",
                workers=config.workers,
                progress=shown,
            )

        training, held_out = feed(self._training_set), feed(self._held_out)
        return _Inputs(learner, learner.predictor(), training, held_out)

    def _optimizer(self, stage: Stage, name: str) -> keras.optimizers.Optimizer:
        config = self._config
        # Every epoch draws anew, but always as many.
        steps = stage.epochs * self._batch_count(self._draw(name, 0)[0])
        clip_norm = CLIP_NORM if self._replicas.count == 1 else None
        with self._replicas.strategy.scope():
            optimizer = scaled(
                adamw(stage, steps, accumulate=config.accumulate, clip_norm=clip_norm),
                config.precision,
            )
            optimizer.build(self._model.trainable_variables)
        return optimizer

    def _batch_count(self, rows: npt.NDArray[np.int64]) -> int:
        return math.ceil(len(rows) / self._config.batch_size)

    def _draw(self, name: str, epoch: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The rows of an epoch and which are mirrored; seed, phase and number alone decide."""
        labelled, config = self._training_set, self._config
        rng = np.random.default_rng((config.seed, PHASES.index(name), epoch))
        rows = (
            draw_bucketed(labelled.bucket, labelled.group, rng)
            if config.pairing == "bucketed"
            else draw_all(labelled.group, rng)
        )
        if not len(rows):
            raise DataError("no two photos can be compared: all are alone in their group")
        return rows, rng.random(len(rows)) < (0.5 if config.mirror else 0.0)

    def _epoch(
        self,
        name: str,
        epoch: int,
        stage: Stage,
        inputs: _Inputs,
        step: Step,
        optimizer: keras.optimizers.Optimizer,
    ) -> dict[str, float]:
        """Runs one epoch."""
        labelled, config = self._training_set, self._config
        rows, mirrored = self._draw(name, epoch)
        batches = self._batch_count(rows)
        places = self._replicas.local_places(len(rows), config.batch_size)
        batch_size = self._replicas.local_share(config.batch_size)
        local = np.where(places == FILLER, FILLER, rows[places])
        sums: dict[str, float] = {}
        title = f"{name} {epoch + 1}/{stage.epochs}"
        task = self._progress.add_task(title, total=batches)
        for number, (tensor, pixels) in enumerate(
            inputs.training(local, mirrored[places], batch_size)
        ):
            batch_rows = tensor.numpy()
            batch = labelled.batch(batch_rows)
            if self._board:
                rate = {"learning_rate": float(optimizer.learning_rate)}
                self._board.scalars(f"{name}_step", rate, epoch * batches + number)
            try:
                parts = step(pixels, batch.score, batch.bucket, batch.group, batch.votes)
            except tf.errors.InvalidArgumentError as error:
                if NOT_FINITE not in error.message:
                    raise
                real = batch_rows[batch_rows != FILLER]
                files = sorted({str(labelled.samples[row].path) for row in real})
                raise TrainingError(
                    f"{NOT_FINITE} in batch {number + 1} of {name} epoch {epoch + 1}; the last "
                    "state is kept. Its photos:\n  " + "\n  ".join(files)
                ) from error
            values = {key: float(value) for key, value in parts.items()}
            for key, value in values.items():
                sums[key] = sums.get(key, 0.0) + value
            if self._board:
                self._board.scalars(f"{name}_step", values, epoch * batches + number)
            self._progress.update(task, advance=1, description=f"{title} {values['loss']:.4f}")
        self._progress.remove_task(task)
        return {key: value / batches for key, value in sums.items()}

    def _predicted(self, inputs: _Inputs) -> Floats:
        """Means of the held-out photos."""
        rows = np.arange(len(self._held_out.samples))
        unmirrored = np.zeros(len(rows), np.bool_)
        batches = inputs.held_out(rows, unmirrored, self._config.batch_size)
        return mean_opinion_score(
            np.concatenate([inputs.predict(pixels).numpy() for _, pixels in batches])
        )

    def _accuracy(self, means: Floats) -> float:
        """Pairwise accuracy on the held-out photos."""
        labelled = self._held_out
        accuracy = pairwise_accuracy(labelled.score, means, labelled.group)
        if math.isnan(accuracy):
            raise TrainingError(
                "the scores of held-out photos are no numbers; the last state is kept. "
                "Lower the learning rate"
            )
        return self._replicas.chief_value(accuracy)

    def _write(self, state: Path, optimizer: keras.optimizers.Optimizer, better: bool) -> None:
        folder = self._config.output
        save_weights(self._model, folder / LAST_FILE)
        if better:
            save_weights(self._model, folder / BEST_FILE)
        save_state(state, self._position, self._model, optimizer)
        _write_log(folder, self._position.log)

    def _show(self, name: str, row: dict[str, float], means: Floats) -> None:
        """An epoch in TensorBoard."""
        if not self._board:
            return
        labelled, epoch = self._held_out, self._position.epoch
        self._board.scalars(name, row, epoch)
        better, worse = worst_pairs(labelled.score, means, labelled.group, SHOWN_PAIRS)
        if len(better):
            interpolation = self._config.interpolation
            picture = draw_pairs(
                labelled.samples, means, better, worse, interpolation=interpolation
            )
            self._board.picture(f"{name}/worst_ranked_held_out_pairs", picture, epoch)
        self._board.flush()


def _write_log(folder: Path, log: list[dict[str, Any]]) -> None:
    """`log.csv` and `log.json`, each replaced in one step."""
    for name in ("log.csv", "log.json"):
        partial = folder / f"{name}.partial"
        with partial.open("w", newline="") as file:
            if name == "log.json":
                json.dump(log, file, indent=2)
            else:
                writer = csv.DictWriter(file, fieldnames=list(log[0]))
                writer.writeheader()
                writer.writerows(log)
        partial.replace(folder / name)


def summary(position: Position) -> dict[str, Any]:
    """The end of a run, JSON-ready."""
    return {
        "epochs": len(position.log),
        "best_held_out_pairwise_accuracy": position.best,
        "last": position.log[-1] if position.log else None,
    }
