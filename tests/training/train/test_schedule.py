"""The optimiser that every stage shares."""

from __future__ import annotations

from itertools import pairwise

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese_nima.config import PhaseConfig
from siamese_nima.train.schedule import CLIP_NORM, adamw, learning_rate


def rates(stage: PhaseConfig, steps: int) -> list[float]:
    schedule = learning_rate(stage, steps)
    return [float(schedule(step)) for step in range(steps)]


def test_rate_warms_up_and_falls() -> None:
    found = rates(PhaseConfig(epochs=1, learning_rate=2.0, warmup_share=0.1), 100)
    assert found[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert found[9] == max(found)
    assert all(a > b for a, b in pairwise(found[9:]))
    assert 0 < found[-1] < 0.01


@settings(max_examples=20)
@given(steps=st.integers(1, 12), share=st.floats(0.0, 1.0))
def test_no_step_is_lost_and_none_is_above_the_peak(steps: int, share: float) -> None:
    found = rates(PhaseConfig(epochs=1, learning_rate=1e-2, warmup_share=share), steps)
    assert min(found) > 0
    assert max(found) == pytest.approx(1e-2)


def test_rate_counts_batches_where_gradients_are_averaged() -> None:
    stage = PhaseConfig(epochs=1, learning_rate=1.0, warmup_share=0.0, weight_decay=0.0)
    weight = keras.Variable(np.zeros(1, np.float32))
    optimizer = adamw(stage, 4, accumulate=2)
    optimizer.build([weight])
    seen = []
    for _ in range(4):
        optimizer.apply([np.ones(1, np.float32)], [weight])
        seen.append(float(weight.numpy()[0]))
    rate = [float(learning_rate(stage, 4)(step)) for step in range(4)]
    # Adam's first steps under a constant gradient are as long as the rate.
    assert seen == pytest.approx([0.0, -rate[1], -rate[1], -rate[1] - rate[3]], rel=1e-4)


def test_long_gradients_are_clipped() -> None:
    optimizer = adamw(PhaseConfig(epochs=1, learning_rate=1.0), 1)
    assert optimizer.clipnorm == CLIP_NORM
    assert adamw(PhaseConfig(epochs=1, learning_rate=1.0), 1, clip_norm=None).clipnorm is None
