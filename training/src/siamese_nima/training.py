"""The Siamese trainer: two phases, pairs redrawn every epoch, the best tower kept."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
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
from siamese_nima.data import DataConfig, Sample, inspect
from siamese_nima.data.pipeline import pixel_batches
from siamese_nima.distribution import VOTE_BINS, mean_opinion_score
from siamese_nima.errors import ConfigError, DataError, TrainingError
from siamese_nima.metrics import pairwise_accuracy
from siamese_nima.objective import Batch, LossWeights, batch_losses
from siamese_nima.pairs import PAIRINGS, buckets, draw_all, draw_bucketed
from siamese_nima.schedule import adamw
from siamese_nima.towers import Tower, build_tower, freeze, frozen_depth, get_tower
from siamese_nima.weights import load_weights, save_weights

PHASES: Final = ("head", "body")
RANDOM: Final = "random"  # the value of `weights` that asks for an untrained start

STATE_FILE: Final = "state.npz"
BEST_FILE: Final = "best.weights.h5"
LAST_FILE: Final = "last.weights.h5"


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
        interpolation: How photos are resized; a key of `preprocessing.INTERPOLATIONS`.
        image_size: Side of the pixels, 0 for the tower's own.
        patience: Epochs of a phase without a better held-out accuracy before it ends.
        workers: Decoders at work at once, 0 for one a core.
        seed: Seed of initial weights, dropout, pairs and mirroring.
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
    seed: int = 0


@dataclass(frozen=True)
class LabelledSet:
    """Samples and their labels as arrays, one row each.

    Attributes:
        samples: N samples.
        score: float64 [N].
        bucket: int64 [N].
        group: int64 [N], counted from 0.
        votes: float32 [N,10]; zeros where unknown.
    """

    samples: list[Sample]
    score: npt.NDArray[np.float64] = field(init=False)
    bucket: npt.NDArray[np.int64] = field(init=False)
    group: npt.NDArray[np.int64] = field(init=False)
    votes: npt.NDArray[np.float32] = field(init=False)
    bucket_width: float = 1.0

    def __post_init__(self) -> None:
        score = np.array([sample.score for sample in self.samples], np.float64)
        unknown = (0.0,) * VOTE_BINS
        votes = np.array([sample.distribution or unknown for sample in self.samples], np.float32)
        _, group = np.unique([sample.group for sample in self.samples], return_inverse=True)
        for name, value in (
            ("score", score),
            ("bucket", buckets(score, self.bucket_width)),
            ("group", group.astype(np.int64)),
            ("votes", votes),
        ):
            object.__setattr__(self, name, value)

    def batch(self, rows: npt.NDArray[np.int64]) -> Batch:
        """The labels of some rows."""
        return Batch(
            tf.constant(self.score[rows], tf.float32),
            tf.constant(self.bucket[rows]),
            tf.constant(self.group[rows]),
            tf.constant(self.votes[rows]),
        )


def train(config: TrainConfig, *, resume: bool = False, console: Console | None = None) -> Position:
    """Trains a tower.

    Writes into `config.output`: `config.toml`, `held_out.txt`, `log.csv` and `log.json` (one row an
    epoch), `best.weights.h5` and `last.weights.h5` (the tower alone), `state.npz` (all that a
    resumed run needs). A run killed at any moment and resumed ends with the same weights as one
    that was not.

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
    text, state = to_toml(config), config.output / STATE_FILE
    if state.exists():
        if not resume:
            raise ConfigError(
                f"{config.output} holds a run: continue it with --resume, or give another output"
            )
        if (config.output / "config.toml").read_text() != text:
            raise ConfigError(f"the run in {config.output} has another config.toml")
    training_set, held_out = _sets(config)
    config.output.mkdir(parents=True, exist_ok=True)
    (config.output / "config.toml").write_text(text)
    (config.output / "held_out.txt").write_text(
        "".join(f"{path}\n" for path in dict.fromkeys(s.path for s in held_out.samples))
    )
    keras.utils.set_random_seed(config.seed)
    size = (config.image_size, config.image_size) if config.image_size else None
    model = build_tower(tower, image_size=size)
    position = read_position(state) if state.exists() else Position(PHASES[0])
    if not state.exists() and config.weights != RANDOM:
        load_weights(model, Path(config.weights).expanduser(), headless=config.headless)
    with Progress(console=console or Console(quiet=True), transient=True) as progress:
        run = _Run(config, tower, model, training_set, held_out, position, progress)
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
    return get_tower(config.tower)


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
        progress: Progress,
    ) -> None:
        self._config = config
        self._tower = tower
        self._model = model
        self._training_set = training_set
        self._held_out = held_out
        self._position = position
        self._progress = progress
        self._predict = tf.function(
            lambda pixels: model(tower.normalise(tf.cast(pixels, tf.float32)), training=False),
            input_signature=[self._pixels()],
        )

    def _pixels(self) -> Any:
        return tf.TensorSpec([None, *self._model.input_shape[1:]], tf.uint8)

    def phase(self, name: str, state: Path) -> None:
        """Runs what is left of a phase, and writes the state after every epoch."""
        config, position = self._config, self._position
        stage: Stage = getattr(config, name)
        if position.phase != name:
            position.phase, position.epoch = name, 0
            position.phase_best, position.stale = -1.0, 0
        if stage.epochs == 0:
            return
        through = config.freeze_through or self._tower.freeze_through
        last = len(self._model.layers) - 1
        freeze(self._model, last if name == "head" else frozen_depth(self._model, through))
        # Every epoch draws anew, but always as many.
        steps = stage.epochs * self._batch_count(self._draw(name, 0)[0])
        optimizer = adamw(stage, steps, accumulate=config.accumulate)
        optimizer.build(self._model.trainable_variables)
        if position.epoch:
            restore_state(state, self._model, optimizer)
        step = self._step(optimizer)
        while position.epoch < stage.epochs and position.stale < config.patience:
            started = time.monotonic()
            row = self._epoch(name, position.epoch, stage, step)
            accuracy = self.accuracy()
            position.epoch += 1
            position.log.append(
                {
                    "phase": name,
                    "epoch": position.epoch,
                    **row,
                    "held_out_pairwise_accuracy": accuracy,
                    "seconds": round(time.monotonic() - started, 3),
                }
            )
            position.stale = 0 if accuracy > position.phase_best else position.stale + 1
            position.phase_best = max(position.phase_best, accuracy)
            save_weights(self._model, config.output / LAST_FILE)
            if accuracy > position.best:
                position.best = accuracy
                save_weights(self._model, config.output / BEST_FILE)
            save_state(state, position, self._model, optimizer)
            _write_log(config.output, position.log)
            self._progress.console.print(
                f"{name} {position.epoch}/{stage.epochs}: loss {row['loss']:.4f}, "
                f"held-out pairwise accuracy {accuracy:.4f}"
            )

    def _step(self, optimizer: keras.optimizers.Optimizer) -> Any:
        """One update as a graph."""
        model, config, normalise = self._model, self._config, self._tower.normalise

        def step(pixels: Any, score: Any, bucket: Any, group: Any, votes: Any) -> dict[str, Any]:
            with tf.GradientTape() as tape:
                predicted = model(normalise(tf.cast(pixels, tf.float32)), training=True)
                parts = batch_losses(
                    predicted, Batch(score, bucket, group, votes), config.loss, config.pairing
                )
            variables = model.trainable_variables
            # A loss that is not finite must not reach the weights.
            if tf.math.is_finite(parts["loss"]):
                optimizer.apply(tape.gradient(parts["loss"], variables), variables)
            return parts

        labels = [tf.TensorSpec([None], kind) for kind in (tf.float32, tf.int64, tf.int64)]
        votes = tf.TensorSpec([None, VOTE_BINS], tf.float32)
        return tf.function(step, input_signature=[self._pixels(), *labels, votes])

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

    def _epoch(self, name: str, epoch: int, stage: Stage, step: Any) -> dict[str, float]:
        """Runs one epoch."""
        labelled = self._training_set
        rows, mirrored = self._draw(name, epoch)
        batches = self._batch_count(rows)
        sums: dict[str, float] = {}
        title = f"{name} {epoch + 1}/{stage.epochs}"
        task = self._progress.add_task(title, total=batches)
        for number, (batch_rows, pixels) in enumerate(self._batches(labelled, rows, mirrored)):
            batch = labelled.batch(batch_rows)
            parts = {
                key: float(value)
                for key, value in step(
                    pixels, batch.score, batch.bucket, batch.group, batch.votes
                ).items()
            }
            if not math.isfinite(parts["loss"]):
                files = sorted({str(labelled.samples[row].path) for row in batch_rows})
                raise TrainingError(
                    f"the loss is {parts['loss']} in batch {number + 1} of {name} epoch "
                    f"{epoch + 1}; the last state is kept. Its photos:\n  " + "\n  ".join(files)
                )
            for key, value in parts.items():
                sums[key] = sums.get(key, 0.0) + value
            self._progress.update(task, advance=1, description=f"{title} {parts['loss']:.4f}")
        self._progress.remove_task(task)
        return {key: value / batches for key, value in sums.items()}

    def accuracy(self) -> float:
        """Pairwise accuracy on the held-out photos."""
        labelled = self._held_out
        rows = np.arange(len(labelled.samples))
        predicted = np.concatenate(
            [
                self._predict(pixels).numpy()
                for _, pixels in self._batches(labelled, rows, np.zeros(len(rows), np.bool_))
            ]
        )
        return pairwise_accuracy(labelled.score, mean_opinion_score(predicted), labelled.group)

    def _batches(
        self,
        labelled: LabelledSet,
        rows: npt.NDArray[np.int64],
        mirrored: npt.NDArray[np.bool_],
    ) -> Iterator[tuple[npt.NDArray[np.int64], Any]]:
        batches = pixel_batches(
            labelled.samples,
            rows,
            mirrored,
            batch_size=self._config.batch_size,
            image_size=self._model.input_shape[1:3],
            interpolation=self._config.interpolation,
            workers=self._config.workers,
        )
        for batch_rows, pixels in batches:
            yield batch_rows.numpy(), pixels


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
