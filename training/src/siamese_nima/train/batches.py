"""Samples of all sets and their labels as arrays, and batches cut from these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from iq_serving.contract import VOTE_BINS, VOTES
from siamese_nima.data.samples import Sample
from siamese_nima.distribution import largest_entropy
from siamese_nima.train.config import SetConfig
from siamese_nima.train.objective import Batch
from siamese_nima.train.pairs import FILLER, buckets

Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

# A mean at the end of the scale has no distribution but a spike: it is moved in by this much.
_END: Final = 0.02


_PER_ROW: Final = {"member": tf.int64, "bucket": tf.int64, "group": tf.int64}
BATCH_SPEC: Final = Batch(
    **{name: tf.TensorSpec([None], _PER_ROW.get(name, tf.float32)) for name in Batch._fields}
)._replace(votes=tf.TensorSpec([None, VOTE_BINS], tf.float32))


@dataclass(frozen=True, slots=True)
class LabelledSamples:
    """Samples of one or several sets and their labels, one row each.

    Attributes:
        samples: N samples.
        member: Index of each one's set, int64 [N].
        score: float64 [N].
        error: float32 [N].
        bucket: int64 [N].
        group: int64 [N], counted from 0.
        votes: float32 [N,10]; zeros where unknown.
        weight: float32 [N].
    """

    samples: list[Sample]
    member: Indices
    score: npt.NDArray[np.float64]
    error: Floats
    bucket: Indices
    group: Indices
    votes: Floats
    weight: Floats

    def rows(self, member: int) -> Indices:
        """Rows of a set [M]."""
        return np.flatnonzero(self.member == member)

    def batch(self, rows: Indices) -> Batch:
        """The labels of some rows; a `FILLER` is of no set, and alone in its group."""
        real = rows != FILLER
        alone = -1 - np.arange(len(rows))
        return Batch(
            tf.constant(np.where(real, self.member[rows], -1)),
            tf.constant(self.score[rows], tf.float32),
            tf.constant(self.error[rows]),
            tf.constant(self.bucket[rows]),
            tf.constant(np.where(real, self.group[rows], alone)),
            tf.constant(self.votes[rows]),
            tf.constant(self.weight[rows]),
        )


def label(sets: Sequence[tuple[SetConfig, Sequence[Sample]]]) -> LabelledSamples:
    """Turns samples into arrays.

    Args:
        sets: Sets and their samples.

    Returns:
        All of them, the sets one after the other.
    """
    samples = [sample for _, each in sets for sample in each]
    sizes = [len(each) for _, each in sets]
    member = np.repeat(np.arange(len(sets)), sizes)
    score = np.array([sample.score for sample in samples], np.float64)
    width = np.repeat([config.bucket_width for config, _ in sets], sizes)
    keys = [f"{index} {sample.group}" for index, sample in zip(member, samples, strict=True)]
    _, group = np.unique(keys, return_inverse=True)
    return LabelledSamples(
        samples,
        member.astype(np.int64),
        score,
        np.array([sample.error for sample in samples], np.float32),
        buckets(score, width),
        group.astype(np.int64),
        np.concatenate([_votes(each, config.data.form == "scores") for config, each in sets]),
        np.array([sample.weight for sample in samples], np.float32),
    )


def _votes(samples: Sequence[Sample], opinions: bool) -> Floats:
    """Distributions: those given; where scores are mean opinions, those of largest entropy."""
    if opinions:
        means = np.clip([sample.score for sample in samples], VOTES[0] + _END, VOTES[-1] - _END)
        stds = [np.inf if sample.std is None else sample.std for sample in samples]
        return largest_entropy(means, np.array(stds)).astype(np.float32)
    unknown = (0.0,) * VOTE_BINS
    votes = [sample.distribution or unknown for sample in samples]
    return np.array(votes, np.float32).reshape(-1, VOTE_BINS)
