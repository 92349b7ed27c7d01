"""Epochs: their steps, the judgement of the tower after them, and the state that they leave."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import tensorflow as tf

from siamese_nima.distribution import Floats, mean_opinion_score
from siamese_nima.errors import TrainingError
from siamese_nima.evaluate.metrics import worst_pairs
from siamese_nima.towers.weights import save_weights
from siamese_nima.train.checkpoint import Position, save_state
from siamese_nima.train.draws import draw_epoch, whole
from siamese_nima.train.judging import ACCURACY, judge
from siamese_nima.train.logs import write_log
from siamese_nima.train.pairs import FILLER
from siamese_nima.train.phase import Phase, Run
from siamese_nima.train.step import NOT_FINITE
from siamese_nima.train.tensorboard import draw_pairs

STATE_FILE: Final = "state.npz"
BEST_FILE: Final = "best.weights.h5"
LAST_FILE: Final = "last.weights.h5"

CONSTANT: Final = "constant_features"
_CONSTANT: Final = 1e-3  # range of a feature over photos, where units are clipped to 0…6
_MANY_CONSTANT: Final = 0.5  # published towers have next to none

SHOWN_PAIRS: Final = 8  # of the worst-ranked held-out pairs, in TensorBoard


def run_epoch(run: Run, phase: Phase, position: Position) -> None:
    """Runs what is left of an epoch, judges the tower, and writes weights, state and log.

    Args:
        run: The run.
        phase: The phase it is in.
        position: How far it is; set to the start of the next epoch.

    Raises:
        TrainingError: The loss, or a held-out score, is no number.
    """
    steps = _run_steps(run, phase, position)
    with _averaged(run, phase):
        means, constant = _judge_by_held_out(run, phase)
        row = {
            **{key: value / steps for key, value in position.sums.items()},
            **judge(run.config.sets, run.held_out, means),
            CONSTANT: constant,
        }
        accuracy = run.replicas.chief_value(row[ACCURACY])
        if run.replicas.chief:
            save_weights(run.model, run.config.output / LAST_FILE)
            if accuracy > position.best:
                save_weights(run.model, run.config.output / BEST_FILE)
    position.epoch += 1
    seconds = round(position.seconds, 3)
    position.log.append({"phase": phase.name, "epoch": position.epoch, **row, "seconds": seconds})
    position.step, position.sums, position.seconds = 0, {}, 0.0
    position.stale = 0 if accuracy > position.phase_best else position.stale + 1
    position.phase_best = max(position.phase_best, accuracy)
    position.best = max(position.best, accuracy)
    if run.replicas.chief:
        save_state(run.config.output / STATE_FILE, position, run.model, phase.optimizer)
        write_log(run.config.output, position.log)
        _show(run, phase, position.epoch, row, means)
    run.progress.console.print(
        f"{phase.name} {position.epoch}/{phase.config.epochs}: loss {row['loss']:.4f}, "
        + ", ".join(f"{key} {value:.4f}" for key, value in row.items() if "held_out" in key),
        highlight=False,
    )
    if constant > _MANY_CONSTANT:
        run.progress.console.print(
            f"{constant:.0%} of the features that the head sees are the same for every held-out "
            "photo, and learn no more. Start again with a lower learning_rate, or a larger "
            "warmup_share",
            highlight=False,
        )


def _run_steps(run: Run, phase: Phase, position: Position) -> int:
    """Runs the steps of an epoch that are not done yet, and counts them all."""
    config, progress = run.config, run.progress
    draw, steps = draw_epoch(config, run.training, phase.name, position.epoch)
    places = run.replicas.local_places(len(draw.rows), config.batch_size)
    share = run.replicas.local_share(config.batch_size)
    local = draw.at(places[position.step * share :])
    title = f"{phase.name} {position.epoch + 1}/{phase.config.epochs}"
    task = progress.add_task(title, total=steps, completed=position.step, rate="")
    saved = began = time.monotonic()
    before, first = position.seconds, position.step
    for tensor, inputs in phase.training(local, share):
        _run_step(run, phase, position, tensor.numpy(), inputs, steps)
        position.step += 1
        now = time.monotonic()
        position.seconds = before + now - began
        rate = (position.step - first) * config.batch_size / (now - began)
        mean = position.sums["loss"] / position.step
        progress.update(
            task, advance=1, description=f"{title} {mean:.4f}", rate=f"{rate:.1f} photos/s"
        )
        if now - saved > 60 * config.save_minutes and position.step < steps:
            saved = now
            if run.replicas.chief:
                save_state(config.output / STATE_FILE, position, run.model, phase.optimizer)
            if not progress.console.is_terminal:
                left = (steps - position.step) * config.batch_size / rate / 60
                progress.console.print(
                    f"{title}: {position.step}/{steps} steps, loss {mean:.4f}, "
                    f"{rate:.1f} photos/s, {left:.0f} min to go",
                    highlight=False,
                )
    progress.remove_task(task)
    return steps


def _run_step(
    run: Run, phase: Phase, position: Position, rows: Any, inputs: Any, steps: int
) -> None:
    """One update, whose losses are added up."""
    number = position.epoch * steps + position.step
    if run.board:
        rate = {"learning_rate": float(phase.optimizer.learning_rate)}
        run.board.scalars(f"{phase.name}_step", rate, number)
    try:
        parts = phase.step(inputs, run.training.batch(rows))
    except tf.errors.InvalidArgumentError as error:
        if NOT_FINITE not in error.message:
            raise
        files = sorted({str(run.training.samples[row].path) for row in rows[rows != FILLER]})
        raise TrainingError(
            f"{NOT_FINITE} in batch {position.step + 1} of {phase.name} epoch "
            f"{position.epoch + 1}; the last state is kept. Its photos:\n  " + "\n  ".join(files)
        ) from error
    values = {key: float(value) for key, value in parts.items()}
    for key, value in values.items():
        position.sums[key] = position.sums.get(key, 0.0) + value
    if run.board:
        run.board.scalars(f"{phase.name}_step", values, number)


@contextmanager
def _averaged(run: Run, phase: Phase) -> Iterator[None]:
    """Puts the average of weights into the tower for a while, where one is kept."""
    if not run.config.average:
        yield
        return
    variables = run.model.trainable_variables
    last = [np.array(each) for each in variables]
    phase.optimizer.finalize_variable_values(variables)
    try:
        yield
    finally:
        for variable, value in zip(variables, last, strict=True):
            variable.assign(value)


def _judge_by_held_out(run: Run, phase: Phase) -> tuple[Floats, float]:
    """Means of the held-out photos, and the share of the features that do not tell them apart."""
    draw = whole(np.arange(len(run.held_out.samples)))
    means = []
    lowest, highest = np.inf, -np.inf
    for _, inputs in phase.held_out(draw, run.config.batch_size):
        distributions, features = (each.numpy() for each in phase.predict(inputs))
        means.append(mean_opinion_score(distributions))
        lowest = np.minimum(lowest, features.min(axis=0))
        highest = np.maximum(highest, features.max(axis=0))
    return np.concatenate(means), float(np.mean(highest - lowest < _CONSTANT))


def _show(run: Run, phase: Phase, epoch: int, row: dict[str, float], means: Floats) -> None:
    """Adds an epoch to TensorBoard's events."""
    if not run.board:
        return
    held_out = run.held_out
    run.board.scalars(phase.name, row, epoch)
    better, worse = worst_pairs(held_out.score, means, held_out.group, SHOWN_PAIRS)
    if len(better):
        picture = draw_pairs(
            held_out.samples, means, better, worse, interpolation=run.config.interpolation
        )
        run.board.picture(f"{phase.name}/worst_ranked_held_out_pairs", picture, epoch)
    run.board.flush()
