"""MobileNet (Howard et al. 2017), width 1, with the padding that its weights were trained with.

Keras padded strided convolutions by one pixel on every side until version 2.1, and since 2.2 only
below and to the right, as TensorFlow's `SAME` does. The weights fit both, but each computes what it
was trained for under its own padding alone: the published AVA means fall by up to a vote under the
other (golden scores in `tests/training/towers/test_mobilenet.py`).
"""

from __future__ import annotations

from typing import Final, Literal

import keras
from keras import layers

STEM_FILTERS: Final = 32
# Output channels and stride of the separable convolutions.
BLOCKS: Final = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    *((512, 1),) * 5, (1024, 2), (1024, 1),
)  # fmt: skip

Padding = Literal["symmetric", "same"]


def mobilenet(input_shape: tuple[int, int, int], *, padding: Padding) -> keras.Model:
    """Builds the backbone with random weights.

    Layer names are those of the published files: `conv1`, `conv_dw_1`, `conv_pw_1` … `conv_pw_13`.
    The last layer of a block is `conv_pw_N_relu`, a name to freeze through or to split at.

    Args:
        input_shape: Height, width and 3 of the normalised pixels.
        padding: Of the strided convolutions: `symmetric` (Keras before 2.2) or `same` (since).

    Returns:
        A functional model from pixels to average-pooled features [N,1024].
    """
    inputs = keras.Input(input_shape, name="pixels")
    symmetric = padding == "symmetric"
    x = layers.ZeroPadding2D(1, name="conv1_pad")(inputs) if symmetric else inputs
    x = layers.Conv2D(
        STEM_FILTERS, 3, 2, "valid" if symmetric else "same", use_bias=False, name="conv1"
    )(x)
    x = layers.BatchNormalization(name="conv1_bn")(x)
    x = layers.ReLU(6.0, name="conv1_relu")(x)
    for index, (filters, stride) in enumerate(BLOCKS, 1):
        if stride > 1:
            sides = 1 if symmetric else ((0, 1), (0, 1))
            x = layers.ZeroPadding2D(sides, name=f"conv_pad_{index}")(x)
        x = layers.DepthwiseConv2D(
            3, stride, "same" if stride == 1 else "valid", use_bias=False, name=f"conv_dw_{index}"
        )(x)
        x = layers.BatchNormalization(name=f"conv_dw_{index}_bn")(x)
        x = layers.ReLU(6.0, name=f"conv_dw_{index}_relu")(x)
        x = layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"conv_pw_{index}")(x)
        x = layers.BatchNormalization(name=f"conv_pw_{index}_bn")(x)
        x = layers.ReLU(6.0, name=f"conv_pw_{index}_relu")(x)
    return keras.Model(inputs, layers.GlobalAveragePooling2D(name="pool")(x), name="mobilenet")
