"""Names, shapes and data types of the serving contract, and the file that describes a tower.

The one source of tensor names for the ONNX graph and for every model configuration.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

VOTES: Final = 10
MAX_BATCH_SIZE: Final = 64
BATCH_DIMENSION: Final = "batch"

IMAGE: Final = "IMAGE"
PIXELS: Final = "PIXELS"
MASK: Final = "MASK"
DISTRIBUTION: Final = "DISTRIBUTION"
MEAN: Final = "MEAN"
STD: Final = "STD"
ERROR: Final = "ERROR"

# What the tower's graph computes, and the number of values per image.
TOWER_OUTPUTS: Final = {DISTRIBUTION: VOTES, MEAN: 1, STD: 1}

ENSEMBLE_MODEL: Final = "nima"
PREPROCESS_MODEL: Final = "nima_preprocess"
TOWER_MODEL: Final = "nima_tower"

VERSION: Final = "1"
ONNX_FILE: Final = "model.onnx"
INT8_FILE: Final = "model.int8.onnx"
PLAN_FILE: Final = "model.plan"
TOWER_FILE: Final = "tower.json"

# What the tower may compute in on a CPU, and the engine that does.
F32: Final = "f32"
BF16: Final = "bf16"
INT8: Final = "int8"
PRECISIONS: Final = {F32: "onnxruntime", BF16: "openvino", INT8: "onnxruntime"}

INTERPOLATIONS: Final = ("bilinear", "nearest")


class ContractError(ValueError):
    """An artefact does not keep to the serving contract; the message says where and what to do."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a Triton model, without its batch dimension.

    Attributes:
        name: Name in the request.
        datatype: Name in Triton's `DataType`, such as `TYPE_FP32`.
        dims: Shape per image.
    """

    name: str
    datatype: str
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tower:
    """What serving has to know about a trained tower.

    Attributes:
        name: Name in the registry of towers, such as `efficientnet_lite0`.
        image_size: Height and width of the pixels it takes.
        interpolation: `bilinear` or `nearest`.
        preprocessing_version: Version of the preprocessing it was trained with.
        text: The file as it was written, which may hold more keys.
    """

    name: str
    image_size: tuple[int, int]
    interpolation: str
    preprocessing_version: int
    text: str

    @classmethod
    def parse(cls, text: str, *, origin: str) -> Tower:
        """Reads a `tower.json`.

        Args:
            text: The file's text.
            origin: Where it comes from, for messages.

        Returns:
            The tower.

        Raises:
            ContractError: It is not JSON, or a key is missing or of the wrong kind.
        """
        try:
            values = json.loads(text)
            height, width = (int(side) for side in values["image_size"])
            tower = cls(
                name=str(values["tower"]),
                image_size=(height, width),
                interpolation=str(values["interpolation"]),
                preprocessing_version=int(values["preprocessing_version"]),
                text=text,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ContractError(
                f"{origin} does not describe a tower ({type(error).__name__}: {error}); it needs "
                f"tower, image_size [height, width], interpolation, preprocessing_version"
            ) from error
        if min(tower.image_size) < 1 or tower.interpolation not in INTERPOLATIONS:
            raise ContractError(
                f"{origin} has image_size {list(tower.image_size)} and interpolation "
                f"{tower.interpolation!r}; sides are positive and the interpolation is one of "
                f"{', '.join(INTERPOLATIONS)}"
            )
        return tower


def pixels(tower: Tower) -> Tensor:
    """The tensor between the two steps."""
    return Tensor(PIXELS, "TYPE_UINT8", (*tower.image_size, 3))


IMAGE_TENSOR: Final = Tensor(IMAGE, "TYPE_STRING", (1,))
MASK_TENSOR: Final = Tensor(MASK, "TYPE_FP32", (1,))
ERROR_TENSOR: Final = Tensor(ERROR, "TYPE_STRING", (1,))
SCORE_TENSORS: Final = tuple(
    Tensor(name, "TYPE_FP32", (size,)) for name, size in TOWER_OUTPUTS.items()
)
