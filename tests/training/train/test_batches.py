"""Labels as arrays: votes from what is known of them, and groups that no two sets share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from siamese_nima.data import DataConfig
from siamese_nima.data.samples import Sample
from siamese_nima.distribution import mean_opinion_score, standard_deviation
from siamese_nima.train.batches import label
from siamese_nima.train.config import SetConfig
from siamese_nima.train.objective import LossWeights
from siamese_nima.train.pairs import FILLER


def of_form(form: str, **options: float) -> SetConfig:
    return SetConfig(form, DataConfig(form, Path()), LossWeights(emd=1.0), **options)  # type: ignore[arg-type]


def test_votes_are_those_given_or_of_largest_entropy_or_none() -> None:
    counted = Sample(Path("a"), 3.0, (0.0, 0.0, 1.0, *[0.0] * 7))
    opinions = [Sample(Path("b"), 6.3, std=1.2), Sample(Path("c"), 5.5), Sample(Path("d"), 10.0)]
    labelled = label(
        [
            (of_form("histograms"), [counted]),
            (of_form("scores"), opinions),
            (of_form("labels"), [Sample(Path("e"), 2.0)]),
        ]
    )
    votes = labelled.votes.astype(np.float64)
    np.testing.assert_array_equal(votes[0], counted.distribution)
    np.testing.assert_allclose(mean_opinion_score(votes[1:3]), [6.3, 5.5], atol=1e-5)
    np.testing.assert_allclose(standard_deviation(votes[1]), 1.2, atol=1e-5)
    np.testing.assert_allclose(votes[2], 0.1, atol=1e-6)  # the mean alone is known: uniform
    assert mean_opinion_score(votes[3]) > 9.9
    assert not votes[4].any()


def test_groups_and_buckets_are_those_of_each_set() -> None:
    samples = [Sample(Path("a"), 1.0), Sample(Path("b"), 5.0)]
    labelled = label([(of_form("labels"), samples), (of_form("ava", bucket_width=4.0), samples)])
    assert labelled.member.tolist() == [0, 0, 1, 1]
    assert labelled.bucket.tolist() == [1, 5, 0, 1]
    assert labelled.group[0] == labelled.group[1] != labelled.group[2] == labelled.group[3]


def test_a_filler_is_of_no_set_and_alone() -> None:
    samples = [Sample(Path("a"), 1.0), Sample(Path("b"), 5.0)]
    batch = label([(of_form("labels"), samples)]).batch(np.array([0, FILLER, 1, FILLER]))
    assert batch.member.numpy().tolist() == [0, -1, 0, -1]
    groups = batch.group.numpy().tolist()
    assert groups[0] == groups[2]
    assert len({groups[0], groups[1], groups[3]}) == 3
