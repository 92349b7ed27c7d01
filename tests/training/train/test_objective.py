"""Losses of a batch: means over its photos and pairs, set by set."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from siamese_nima.train.objective import Batch, LossWeights, Objective, batch_losses


def labels(score: Any, **others: Any) -> Batch:
    """A batch of one set and one group, of exact scores without votes, but for what is given."""
    count = len(score)
    defaults: dict[str, npt.NDArray[Any]] = {
        "member": np.zeros(count, np.int64),
        "error": np.zeros(count, np.float32),
        "bucket": np.zeros(count, np.int64),
        "group": np.zeros(count, np.int64),
        "votes": np.zeros((count, 10), np.float32),
        "weight": np.ones(count, np.float32),
    }
    given = {name: np.asarray(value, defaults[name].dtype) for name, value in others.items()}
    return Batch(score=np.asarray(score, np.float32), **{**defaults, **given})


def losses_of(predicted: Any, batch: Batch, *objectives: Objective) -> dict[str, float]:
    """Losses as numbers."""
    losses = batch_losses(predicted, batch, objectives)
    return {name: float(ops.convert_to_numpy(value)) for name, value in losses.items()}


def one_vote(means: list[int]) -> npt.NDArray[Any]:
    votes: npt.NDArray[Any] = np.eye(10, dtype=np.float32)[np.array(means) - 1]
    return votes


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(1, 10), st.integers(1, 9)), min_size=2, max_size=8))
def test_losses_of_a_batch_are_means_over_its_pairs(rows: list[tuple[int, int]]) -> None:
    means, scores = [r[0] for r in rows], np.array([r[1] for r in rows], np.float32)
    bucket = scores.astype(np.int64) // 3
    batch = labels(scores, bucket=bucket, votes=one_vote([r[1] for r in rows]))
    weights = LossWeights(emd=2.0, squared_emd=1.5, contrastive=0.5, logistic=1.0, margin=3.0)
    got = losses_of(one_vote(means), batch, Objective("set", weights, "all"))
    contrastive, logistic, margin = [], [], []
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            gap = abs(means[i] - means[j])
            same = bucket[i] == bucket[j]
            contrastive.append(gap**2 if same else max(0, 1 - gap) ** 2)
            if scores[i] != scores[j]:
                lead = (means[i] - means[j]) * (1 if scores[i] > scores[j] else -1)
                logistic.append(np.logaddexp(0, -4.0 * lead))
                margin.append(max(0, 1 - lead))
    apart = np.abs(np.array(means) - scores) / 10
    expected = {
        "emd": np.sqrt(apart).mean(),
        "squared_emd": apart.mean(),
        "contrastive": np.mean(contrastive),
        "logistic": np.mean(logistic) if logistic else 0,
        "margin": np.mean(margin) if margin else 0,
    }
    for name, value in expected.items():
        assert got[f"set_{name}"] == pytest.approx(value, rel=1e-4, abs=1e-4)
    total = sum(getattr(weights, name) * value for name, value in expected.items())
    assert got["loss"] == pytest.approx(total, rel=1e-4, abs=1e-3)


def test_unknown_votes_and_small_gaps_do_not_count() -> None:
    votes = one_vote([5, 5])
    votes[1] = 0
    batch = labels([5, 5.4], votes=votes)
    weights = LossWeights(emd=1.0, squared_emd=1.0, logistic=1.0, min_gap=0.5)
    got = losses_of(one_vote([5, 9]), batch, Objective("set", weights, "all"))
    assert got["set_emd"] == pytest.approx(0, abs=1e-5)
    assert got["set_squared_emd"] == pytest.approx(0, abs=1e-5)
    assert got["set_logistic"] == 0


def test_uncertain_scores_ask_for_a_smaller_lead() -> None:
    objective = Objective("set", LossWeights(logistic=1.0), "all")
    exact = losses_of(one_vote([9, 2]), labels([5.4, 5.0]), objective)
    unsure = losses_of(one_vote([9, 2]), labels([5.4, 5.0], error=[0.3, 0.4]), objective)
    lead, target = 4.0 * 7, 0.5 * (1 + math.erf(0.4 / 0.5 / 2**0.5))
    assert exact["loss"] == pytest.approx(np.logaddexp(0, -lead), abs=1e-5)
    assert unsure["loss"] == pytest.approx((1 - target) * lead, rel=1e-4)


def test_ties_count_where_they_are_judgements() -> None:
    weights = LossWeights(logistic=1.0)
    batch = labels([0, 0])
    assert losses_of(one_vote([3, 8]), batch, Objective("set", weights, "all"))["loss"] == 0
    judged = Objective("set", weights, "all", ties=True)
    assert losses_of(one_vote([3, 8]), batch, judged)["loss"] == pytest.approx(10, rel=1e-4)
    assert losses_of(one_vote([5, 5]), batch, judged)["loss"] == pytest.approx(np.log(2), rel=1e-4)


def test_judgements_count_by_their_weight() -> None:
    objective = Objective("set", LossWeights(logistic=1.0), "bucketed")
    predicted, scores, group = one_vote([3, 8, 8, 3]), [1, 0, 1, 0], [0, 0, 1, 1]
    even = losses_of(predicted, labels(scores, group=group), objective)["loss"]
    second = labels(scores, group=group, weight=[1, 1, 3, 3])
    assert even == pytest.approx(20 / 2, rel=1e-4)
    assert losses_of(predicted, second, objective)["loss"] == pytest.approx(20 / 4, rel=1e-4)


def test_sets_keep_to_themselves() -> None:
    """Each set has its own losses, and rows of none count nowhere."""
    batch = labels([1, 0, 1, 0, 0], member=[0, 0, 1, 1, -1], group=[0, 0, 1, 1, -1])
    predicted = one_vote([3, 8, 6, 4, 9])
    logistic = Objective("a", LossWeights(logistic=2.0), "all")
    margin = Objective("b", LossWeights(margin=0.5), "all")
    got = losses_of(predicted, batch, logistic, margin)
    assert got.keys() == {"loss", "a_logistic", "b_margin"}
    assert got["a_logistic"] == pytest.approx(20, rel=1e-4)
    assert got["b_margin"] == 0
    assert got["loss"] == pytest.approx(40, rel=1e-4)
