"""Phases of a run, ready to be run: what learns, what it is fed, and one update of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
from rich.progress import Progress

from siamese_nima.config import PhaseConfig
from siamese_nima.towers.freezing import freeze, frozen_depth
from siamese_nima.towers.parts import judged_part
from siamese_nima.towers.registry import HEAD_LAYER, Tower
from siamese_nima.train.batches import LabelledSamples
from siamese_nima.train.config import PHASES, TrainConfig
from siamese_nima.train.draws import draw_epoch
from siamese_nima.train.feeds import (
    Feed,
    cut_layer,
    feature_feed,
    feature_learner,
    pixel_feed,
    pixel_learner,
)
from siamese_nima.train.objective import Objective
from siamese_nima.train.precision import scaled
from siamese_nima.train.replicas import Replicas
from siamese_nima.train.schedule import CLIP_NORM, adamw
from siamese_nima.train.step import Step, build_step
from siamese_nima.train.tensorboard import Board


@dataclass(frozen=True, slots=True)
class Run:
    """Parts of a run that its phases share.

    Attributes:
        config: The run.
        tower: What the model is.
        model: With the weights as they are now.
        training: Samples to learn from.
        held_out: Samples to judge by.
        replicas: Who learns.
        progress: Where it is shown.
        board: Events for TensorBoard, if they are asked for.
    """

    config: TrainConfig
    tower: Tower
    model: keras.Model
    training: LabelledSamples
    held_out: LabelledSamples
    replicas: Replicas
    progress: Progress
    board: Board | None


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of a run.

    Attributes:
        name: One of `config.PHASES`.
        config: Its epochs and rates.
        predict: From inputs to distributions and to the features that the head sees.
        training: Feed of what is learnt from.
        held_out: Feed of what is judged by.
        optimizer: Built for what learns.
        step: One update.
    """

    name: str
    config: PhaseConfig
    predict: Any
    training: Feed
    held_out: Feed
    optimizer: keras.optimizers.Optimizer
    step: Step


def frozen_depths(config: TrainConfig, tower: Tower, model: keras.Model) -> dict[str, int]:
    """Number of frozen layers of each phase.

    Raises:
        ConfigError: The tower has no such layer, or its features cannot be kept there.
    """
    through = config.freeze_through or tower.freeze_through
    depths = {"head": len(model.layers) - 1, "body": frozen_depth(model, through)}
    if config.cache_features:
        for name in PHASES:
            if getattr(config, name).epochs:
                cut_layer(model, depths[name])
    return depths


def pixel_feeds(run: Run) -> tuple[Feed, Feed]:
    """Feeds of pixels, to learn from and to judge by; what they decode is kept for all phases."""

    def feed(labelled: LabelledSamples) -> Feed:
        return pixel_feed(
            labelled.samples,
            run.model.input_shape[1:3],
            run.config.interpolation,
            workers=run.config.workers,
            cache_mib=run.config.pixel_cache_mib,
        )

    return feed(run.training), feed(run.held_out)


def prepare_phase(run: Run, name: str, depth: int, feeds: tuple[Feed, Feed] | None) -> Phase:
    """Freezes what does not learn and builds the rest of a phase.

    Args:
        run: The run; its model is changed.
        name: One of `config.PHASES`.
        depth: Number of frozen layers.
        feeds: Feeds of pixels; None to compute the frozen part's features, or find them.

    Returns:
        The phase, its optimiser new.
    """
    config, replicas = run.config, run.replicas
    phase: PhaseConfig = getattr(config, name)
    freeze(run.model, depth)
    cut = None
    if feeds is None:
        cut = cut_layer(run.model, depth)
        learner = feature_learner(run.model, cut)
        feeds = (_features(run, cut, run.training), _features(run, cut, run.held_out))
    else:
        learner = pixel_learner(run.tower, run.model)
    # Every epoch draws anew, but always as many.
    steps = phase.epochs * draw_epoch(config, run.training, name, 0)[1]
    with replicas.strategy.scope():
        optimizer = scaled(
            adamw(
                phase,
                steps,
                accumulate=config.accumulate,
                average=config.average,
                clip_norm=CLIP_NORM if replicas.count == 1 else None,
            ),
            config.precision,
        )
        optimizer.build(run.model.trainable_variables)
    objectives = [
        Objective(each.name, each.loss, each.pairing, ties=each.data.form == "pairs")
        for each in config.sets
    ]
    step = build_step(
        learner.part, learner.prepare, learner.inputs, optimizer, objectives, replicas
    )
    predict = learner.predictor(judged_part(run.model, HEAD_LAYER, after=cut))
    return Phase(name, phase, predict, *feeds, optimizer, step)


def _features(run: Run, cut: str, labelled: LabelledSamples) -> Feed:
    def shown(batches: Iterable[Any], count: int, title: str) -> Iterator[Any]:
        task = run.progress.add_task(title, total=count, rate="")
        for batch in batches:
            yield batch
            run.progress.advance(task)
        run.progress.remove_task(task)

    return feature_feed(
        run.tower,
        run.model,
        cut,
        labelled.samples,
        run.config.interpolation,
        run.config.features or run.config.output / "features",
        workers=run.config.workers,
        progress=shown,
    )
