"""EfficientNet-Lite0 (Tan & Le 2019; the Lite variants are in TensorFlow's TPU models).

EfficientNet-B0 without squeeze-and-excitation and with ReLU6, so that it quantises well and runs
fast on CPUs. 0.39 billion multiply-adds at 224x224.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import keras
from keras import layers

IMAGENET_CLASSES: Final = 1000


class Stage(NamedTuple):
    """Blocks of one resolution: how many, and the first one's stride."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    filters: int


STEM_FILTERS: Final = 32
STAGES: Final = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
HEAD_FILTERS: Final = 1280


def efficientnet_lite0(input_shape: tuple[int, int, int], *, classes: int = 0) -> keras.Model:
    """Builds the backbone with random weights.

    Layer names: `stem_*`, `block0_*` … `block15_*`, `head_*`. The last layer of a block is
    `blockN_out`, a name to freeze through or to split at.

    Args:
        input_shape: Height, width and 3 of the normalised pixels.
        classes: 0 for average-pooled features [N,1280]; else a classifier of that many logits.

    Returns:
        A functional model.
    """
    inputs = keras.Input(input_shape, name="pixels")
    x = _convolve(inputs, STEM_FILTERS, "stem", kernel=3, stride=2)
    index = 0
    for stage in STAGES:
        for repeat in range(stage.repeats):
            x = _block(x, stage, stage.stride if repeat == 0 else 1, f"block{index}")
            index += 1
    x = _convolve(x, HEAD_FILTERS, "head", kernel=1, stride=1)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    if classes:
        x = layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, x, name="efficientnet_lite0")


def _block(x: Any, stage: Stage, stride: int, name: str) -> Any:
    """One inverted residual: expand, filter by depth, project, add where the shape allows."""
    inputs = x
    channels = x.shape[-1]
    if stage.expand > 1:
        x = _convolve(x, channels * stage.expand, f"{name}_expand", kernel=1, stride=1)
    x = layers.DepthwiseConv2D(
        stage.kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(x)
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_depthwise_bn")(x)
    x = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = layers.Conv2D(stage.filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
    residual = stride == 1 and channels == stage.filters
    x = layers.BatchNormalization(
        epsilon=1e-3, name=f"{name}_project_bn" if residual else f"{name}_out"
    )(x)
    return layers.Add(name=f"{name}_out")([x, inputs]) if residual else x


def _convolve(x: Any, filters: int, name: str, *, kernel: int, stride: int) -> Any:
    """Convolution, batch normalisation, ReLU6."""
    x = layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv")(
        x
    )
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)
