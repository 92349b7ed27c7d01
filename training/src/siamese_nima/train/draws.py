"""Draws: the rows of every step of an epoch, and how each photo is mirrored, cropped and scaled."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siamese_nima.errors import DataError
from siamese_nima.train.batches import Indices, LabelledSamples
from siamese_nima.train.config import PHASES, SetConfig, TrainConfig
from siamese_nima.train.pairs import FILLER, draw_all, draw_bucketed


@dataclass(frozen=True, slots=True)
class Draw:
    """Rows in the order of their steps.

    Attributes:
        rows: Rows of samples, or `FILLER`; int64 [N].
        mirrored: bool [N].
        boxes: Left, top, right and lower side of what is left of each photo, as shares of its
            width and height; float32 [N,4].
        scales: Share of its sides that each photo is scaled down to, and up again, 0…1, 0
            excluded; float32 [N].
    """

    rows: Indices
    mirrored: npt.NDArray[np.bool_]
    boxes: npt.NDArray[np.float32]
    scales: npt.NDArray[np.float32]

    def at(self, places: Indices) -> Draw:
        """The draw at some places; a place `FILLER` is a filler."""
        rows = np.where(places == FILLER, FILLER, self.rows[places])
        return Draw(rows, self.mirrored[places], self.boxes[places], self.scales[places])


def whole(rows: Indices) -> Draw:
    """Rows as they are: not mirrored, not cropped, not scaled."""
    count = len(rows)
    boxes = np.tile(np.array([0, 0, 1, 1], np.float32), (count, 1))
    return Draw(rows, np.zeros(count, np.bool_), boxes, np.ones(count, np.float32))


def draw_epoch(
    config: TrainConfig, labelled: LabelledSamples, phase: str, epoch: int
) -> tuple[Draw, int]:
    """Draws an epoch; the seed, the phase and the number alone decide.

    It is one pass over the first set. Of the others every step takes its share, from pass after
    pass over them.

    Args:
        config: The run.
        labelled: The samples of all sets.
        phase: One of `PHASES`.
        epoch: Counted from 0.

    Returns:
        The draw, and the number of its steps; each step is `config.batch_size` rows, those of the
        sets one after the other.

    Raises:
        DataError: Nothing in a set can be compared.
    """
    seeds = (config.seed, PHASES.index(phase), epoch)
    first, *others = config.sets
    drawn = next(_passes(first, labelled, 0, seeds))
    steps = math.ceil(len(drawn) / first.batch_size)
    filled = np.full(steps * first.batch_size, FILLER)
    filled[: len(drawn)] = drawn
    columns = [filled.reshape(steps, -1)]
    for index, each in enumerate(others, 1):
        wanted = steps * each.batch_size
        parts: list[Indices] = []
        for rows in _passes(each, labelled, index, seeds):
            parts.append(rows)
            if sum(map(len, parts)) >= wanted:
                break
        columns.append(np.concatenate(parts)[:wanted].reshape(steps, -1))
    rows = np.concatenate(columns, axis=1).ravel()
    rng = np.random.default_rng(seeds)
    mirrored = rng.random(len(rows)) < (0.5 if config.mirror else 0.0)
    sides = 1 - config.crop * rng.random((len(rows), 2))
    corner = (1 - sides) * rng.random((len(rows), 2))
    boxes = np.concatenate([corner, corner + sides], axis=1).astype(np.float32)
    # Half of the photos stay as sharp as they are.
    scales = 1 - config.rescale * np.maximum(rng.uniform(-1, 1, len(rows)), 0).astype(np.float32)
    shared = _first_rungs(labelled, rows)
    return Draw(rows, mirrored, boxes[shared], scales[shared]), steps


def _passes(
    config: SetConfig, labelled: LabelledSamples, member: int, seeds: tuple[int, int, int]
) -> Iterator[Indices]:
    """Passes over a set, without end."""
    rng = np.random.default_rng((*seeds, member))
    own = labelled.rows(member)
    _, group = np.unique(labelled.group[own], return_inverse=True)
    while True:
        if config.pairing == "bucketed":
            drawn = draw_bucketed(labelled.bucket[own], group, rng)
        else:
            drawn = draw_all(group, rng, most=config.rungs)
        if not len(drawn):
            raise DataError(
                f"no two photos of {config.name} can be compared: all are alone in their group"
            )
        yield own[drawn]


def _first_rungs(labelled: LabelledSamples, rows: Indices) -> Indices:
    """Places of the first rung of each row's ladder, or its own.

    Rungs are cropped and scaled alike: what tells them apart must be the distortion alone.
    """
    ladder = np.array([bool(sample.kind) for sample in labelled.samples])[rows]
    _, first, place = np.unique(labelled.group[rows], return_index=True, return_inverse=True)
    return np.where(ladder, first[place], np.arange(len(rows)))
