"""The registry of towers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import keras
from keras import layers

from iq_serving.contract import VOTE_BINS
from siamese_nima.errors import UnknownTowerError
from siamese_nima.towers.efficientnet_lite0 import efficientnet_lite0
from siamese_nima.towers.mobilenet import mobilenet
from siamese_nima.towers.naming import count_from_one

HEAD_LAYER: Final = "dense_1"  # the name that published NIMA weights use


@dataclass(frozen=True, slots=True)
class Tower:
    """A tower without its weights: all that is fixed about it.

    Attributes:
        name: Name in the registry.
        backbone: From an input shape to a model that ends in average-pooled features [N,C].
        image_size: Height and width that the published weights were trained with.
        scale: Normalised pixel = pixel * scale + offset.
        offset: See `scale`.
        dropout: Share of the pooled features dropped before the head in training.
        freeze_through: The layer through which Siamese tuning freezes by default.
    """

    name: str
    backbone: Callable[[tuple[int, int, int]], keras.Model]
    image_size: tuple[int, int]
    scale: float
    offset: float
    dropout: float
    freeze_through: str

    def normalise(self, pixels: Any) -> Any:
        """Normalises pixels.

        Args:
            pixels: float tensor [N,H,W,3] in 0…255, of any Keras backend or NumPy.

        Returns:
            The same shape and type, in the range that the backbone was trained on.
        """
        return pixels * self.scale + self.offset


def _application(name: str) -> Callable[[tuple[int, int, int]], keras.Model]:
    """A backbone of `keras.applications` without its classifier."""

    def build(input_shape: tuple[int, int, int]) -> keras.Model:
        return count_from_one(
            getattr(keras.applications, name)(
                include_top=False, weights=None, input_shape=input_shape, pooling="avg"
            )
        )

    return build


# Inception's normalisation, x / 127.5 - 1.
_TO_UNIT: Final = {"scale": 1 / 127.5, "offset": -1.0}

TOWERS: Final = {
    tower.name: tower
    for tower in (
        Tower(
            "efficientnet_lite0", efficientnet_lite0, (224, 224),
            scale=1 / 128, offset=-127 / 128, dropout=0.2, freeze_through="block4_out",
        ),
        Tower(
            "inception_resnet_v2", _application("InceptionResNetV2"), (224, 224),
            **_TO_UNIT, dropout=0.75, freeze_through="mixed_7a",
        ),
        Tower(
            "mobilenet", partial(mobilenet, padding="symmetric"), (224, 224),
            **_TO_UNIT, dropout=0.75, freeze_through="conv_pw_11_relu",
        ),
        Tower(
            "nasnet_mobile", _application("NASNetMobile"), (224, 224),
            **_TO_UNIT, dropout=0.75, freeze_through="reduction_concat_reduce_8",
        ),
        # `tf_`: strided convolutions are padded as TensorFlow pads them.
        Tower(
            "tf_mobilenet", partial(mobilenet, padding="same"), (224, 224),
            **_TO_UNIT, dropout=0.75, freeze_through="conv_pw_11_relu",
        ),
    )
}  # fmt: skip


def get_tower(name: str) -> Tower:
    """Looks a tower up.

    Raises:
        UnknownTowerError: No tower has this name; the message lists those there are.
    """
    if name not in TOWERS:
        raise UnknownTowerError(f"no tower {name!r}; there are {', '.join(TOWERS)}")
    return TOWERS[name]


def build_tower(
    tower: Tower, *, image_size: tuple[int, int] | None = None, dropout: float | None = None
) -> keras.Model:
    """Builds a tower with random weights.

    Args:
        tower: Which one.
        image_size: Height and width, the tower's own by default.
        dropout: Share of the pooled features dropped in training, the tower's own by default.

    Returns:
        A model from normalised pixels [N,H,W,3] float32 to distributions [N,10].
    """
    backbone = tower.backbone((*(image_size or tower.image_size), 3))
    rate = tower.dropout if dropout is None else dropout
    x = layers.Dropout(rate, name="dropout")(backbone.output)
    # In float32 under every precision: half of it is too coarse for a softmax.
    x = layers.Dense(VOTE_BINS, activation="softmax", name=HEAD_LAYER, dtype="float32")(x)
    return keras.Model(backbone.input, x, name=tower.name)
