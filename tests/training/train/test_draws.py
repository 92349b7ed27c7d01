"""Draws: a step of every set, drawn anew each epoch, alike for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from siamese_nima.data import DataConfig
from siamese_nima.data.samples import ORIGINAL, Sample
from siamese_nima.train.batches import LabelledSamples, label
from siamese_nima.train.config import SetConfig, TrainConfig
from siamese_nima.train.draws import draw_epoch
from siamese_nima.train.objective import LossWeights
from siamese_nima.train.pairs import FILLER

Make = Callable[..., TrainConfig]
LOSS = LossWeights(logistic=1.0)


def two_sets(make: Make) -> tuple[TrainConfig, LabelledSamples]:
    """Ten photos and three ladders of five rungs; a step takes four and six of them."""
    photos = SetConfig("photos", DataConfig("scores", Path()), LOSS, batch_size=4)
    ladders = SetConfig("ladders", DataConfig("distortions", Path()), LOSS, 6, rungs=3)
    config = make("run", sets=(photos, ladders), mirror=True, crop=0.2, rescale=0.25)
    rungs = [
        Sample(Path(f"{n}.jpg"), -float(rung), group=f"{n}", kind="blur" if rung else ORIGINAL)
        for n in range(3)
        for rung in range(5)
    ]
    samples = [Sample(Path(f"{n}.jpg"), 5.0 + n / 10) for n in range(10)]
    return config, label([(photos, samples), (ladders, rungs)])


def test_every_step_has_its_share_of_every_set(make: Make) -> None:
    config, labelled = two_sets(make)
    draw, steps = draw_epoch(config, labelled, "body", 0)
    assert steps == 3
    rows = draw.rows.reshape(steps, config.batch_size)
    first = rows[:, :4].ravel()
    assert sorted(first[first != FILLER]) == list(range(10)), "one pass over the first set"
    assert (first == FILLER).sum() == 2
    for step in rows[:, 4:]:
        groups = labelled.group[step]
        assert (labelled.member[step] == 1).all()
        assert np.bincount(groups)[np.unique(groups)].tolist() == [3, 3], "ladders are whole"


def test_an_epoch_depends_on_seed_phase_and_number_alone(make: Make) -> None:
    config, labelled = two_sets(make)
    first, again = (draw_epoch(config, labelled, "body", 0)[0] for _ in range(2))
    np.testing.assert_array_equal(first.rows, again.rows)
    np.testing.assert_array_equal(first.mirrored, again.mirrored)
    np.testing.assert_array_equal(first.boxes, again.boxes)
    np.testing.assert_array_equal(first.scales, again.scales)
    for other in (("body", 1), ("head", 0)):
        assert not np.array_equal(first.rows, draw_epoch(config, labelled, *other)[0].rows)


def test_changes_are_mild_and_the_rungs_of_a_ladder_are_changed_alike(make: Make) -> None:
    config, labelled = two_sets(make)
    draw, _ = draw_epoch(config, labelled, "body", 0)
    sides = draw.boxes[:, 2:] - draw.boxes[:, :2]
    assert draw.boxes.min() >= 0
    assert draw.boxes.max() <= 1 + 1e-6
    assert sides.min() >= 0.8 - 1e-6
    assert sides.std() > 0.01
    assert draw.scales.min() >= 0.75
    assert draw.scales.max() == 1, "half stay as sharp as they are"
    assert draw.scales.std() > 0.01
    rungs = labelled.member[draw.rows] == 1
    for group in np.unique(labelled.group[draw.rows[rungs]]):
        own = rungs & (labelled.group[draw.rows] == group)
        assert np.ptp(draw.boxes[own], axis=0).max() == 0
        assert np.ptp(draw.scales[own]) == 0
