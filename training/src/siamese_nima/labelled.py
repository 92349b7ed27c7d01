"""Samples and their labels as arrays: what a batch is cut from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from iq_serving.contract import VOTE_BINS
from siamese_nima.data.samples import Sample
from siamese_nima.objective import Batch
from siamese_nima.pairs import buckets

Indices = npt.NDArray[np.int64]

# A row that stands for no sample: it fills a batch up and counts in no loss.
FILLER: Final = -1


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
    bucket: Indices = field(init=False)
    group: Indices = field(init=False)
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

    def batch(self, rows: Indices) -> Batch:
        """The labels of some rows; a `FILLER` is alone in its group and has no votes."""
        real = rows != FILLER
        alone = -1 - np.arange(len(rows))
        return Batch(
            tf.constant(np.where(real, self.score[rows], 0.0), tf.float32),
            tf.constant(self.bucket[rows]),
            tf.constant(np.where(real, self.group[rows], alone)),
            tf.constant(np.where(real[:, None], self.votes[rows], np.float32(0.0))),
        )
