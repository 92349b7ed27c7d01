"""Half precision where it is fast, single precision where it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import keras

# Keras' policies. Weights, softmax, losses and the optimiser stay in float32 under each.
PRECISIONS: Final = {
    "float32": "everything in 32 bits",
    "mixed_bfloat16": "layers compute in bfloat16; for recent CPUs, GPUs and TPUs",
    "mixed_float16": "layers compute in float16, the loss is scaled; for NVIDIA GPUs",
}


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Layers built inside compute by this policy.

    Args:
        policy: A key of `PRECISIONS`.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def scaled(optimizer: keras.optimizers.Optimizer, policy: str) -> keras.optimizers.Optimizer:
    """The optimiser, with a loss scale where small gradients would vanish.

    Float16 knows nothing between 0 and 6e-8: the loss is multiplied by a factor that is halved when
    a gradient overflows, which skips that step, and doubled after 2000 steps without (Micikevicius
    et al. 2018, section 3.2). Bfloat16 has float32's range.
    """
    if policy == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
