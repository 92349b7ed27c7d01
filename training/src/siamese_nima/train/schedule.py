"""Optimiser of every phase: AdamW under a rate that warms up and falls by a cosine."""

from __future__ import annotations

import math
from typing import Any, Final

import keras

from siamese_nima.config import PhaseConfig

# No single gradient is longer than this: untrained heads and rare photos give long ones.
CLIP_NORM: Final = 1.0


def learning_rate(phase: PhaseConfig, steps: int) -> Any:
    """Linear warm-up, then a half cosine to 0 (Loshchilov & Hutter 2017, eq. 5, one cycle).

    Args:
        phase: Peak and share of the warm-up.
        steps: Batches of the phase, all epochs together.

    Returns:
        A `keras.optimizers.schedules.LearningRateSchedule`, above 0 for the batches 0…steps - 1;
        the last batch of the warm-up has the peak.
    """
    warmup = math.ceil(phase.warmup_share * steps)
    if warmup <= 1:
        return keras.optimizers.schedules.CosineDecay(phase.learning_rate, max(1, steps))
    return keras.optimizers.schedules.CosineDecay(
        phase.learning_rate / warmup,
        max(1, steps - warmup + 1),
        warmup_target=phase.learning_rate,
        warmup_steps=warmup - 1,
    )


def adamw(
    phase: PhaseConfig,
    steps: int,
    *,
    accumulate: int = 1,
    average: float = 0.0,
    clip_norm: float | None = CLIP_NORM,
) -> keras.optimizers.AdamW:
    """AdamW (Loshchilov & Hutter 2019) for one phase.

    Args:
        phase: Rate and weight decay.
        steps: See `learning_rate`.
        accumulate: Batches whose gradients are averaged into one update.
        average: Momentum of the average of weights that it keeps, 0 for none.
        clip_norm: Longest gradient of a variable; None where the caller clips.

    Returns:
        The optimiser, not yet built.
    """
    return keras.optimizers.AdamW(
        learning_rate(phase, steps),
        weight_decay=phase.weight_decay,
        clipnorm=clip_norm,
        gradient_accumulation_steps=accumulate if accumulate > 1 else None,
        use_ema=average > 0,
        ema_momentum=average,
    )
