"""The serving contract: names, shapes, limits and files that every room keeps to.

The one source of them for training, the ONNX graph, every model configuration and the server. Only
the client keeps a few of its own, which it compares with the server's when it connects.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# The votes that a distribution is about (NIMA, Talebi & Milanfar 2017, section III).
VOTE_BINS: Final = 10
VOTES: Final = tuple(float(vote) for vote in range(1, VOTE_BINS + 1))

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
TOWER_OUTPUTS: Final = {DISTRIBUTION: VOTE_BINS, MEAN: 1, STD: 1}

# An ensemble and its steps; a repository may hold others under other names.
ENSEMBLE_MODEL: Final = "nima"
PREPROCESS_MODEL: Final = f"{ENSEMBLE_MODEL}_preprocess"
TOWER_MODEL: Final = f"{ENSEMBLE_MODEL}_tower"

VERSION: Final = "1"
# The parameter of every model's configuration that holds the `tower.json` of a tower's version.
TOWER_PARAMETER: Final = "tower."
ONNX_FILE: Final = "model.onnx"
INT8_FILE: Final = "model.int8.onnx"
PLAN_FILE: Final = "model.plan"
TOWER_FILE: Final = "tower.json"

# Precisions of the tower on a CPU: the engines that have them, the usual one first, and the graph.
# bf16 is the engine's doing; int8 is in the graph.
F32: Final = "f32"
BF16: Final = "bf16"
INT8: Final = "int8"
ONNXRUNTIME: Final = "onnxruntime"
OPENVINO: Final = "openvino"
PRECISIONS: Final = {F32: (ONNXRUNTIME, OPENVINO), BF16: (OPENVINO,), INT8: (ONNXRUNTIME,)}
GRAPH_FILES: Final = {F32: ONNX_FILE, BF16: ONNX_FILE, INT8: INT8_FILE}

# How pictures are resized: antialiased, or as Keras' `load_img` does.
BILINEAR: Final = "bilinear"
NEAREST: Final = "nearest"
INTERPOLATIONS: Final = (BILINEAR, NEAREST)

# Photos in a folder are found by these, the usual names of the formats that are served.
PHOTO_SUFFIXES: Final = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".avif", ".bmp", ".tif",
    ".tiff", ".jp2", ".j2k", ".ppm", ".pgm", ".pnm", ".ico", ".tga",
})  # fmt: skip

# Means at 0, 1, … 100 % of a set of photos, of which a score's percentile is read.
QUANTILES: Final = 101

# What a tower says where nobody told more of it.
UNVERSIONED: Final = "unversioned"
NO_LICENCE: Final = "not stated"

# Weight files, which `iq-tools weights fetch` puts into a folder and training finds there.
WEIGHT_SUFFIXES: Final = (".h5", ".hdf5")


class ContractError(ValueError):
    """An artefact does not keep to the serving contract; the message says where and what to do."""


def weights_folder() -> Path:
    """The user's folder of published weights: `siamese-nima/weights` in the cache folder.

    Returns:
        The folder in `$XDG_CACHE_HOME`, or in `~/.cache` where that is not set to an absolute path
        (XDG Base Directory Specification: relative ones are ignored).
    """
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    root = configured if configured.is_absolute() else Path.home() / ".cache"
    return root / "siamese-nima" / "weights"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on an image file, checked before it costs memory, and on the time that it takes.

    Attributes:
        max_bytes: Largest file, in bytes.
        max_pixels: Largest width times height, before any reduction.
        max_seconds: Longest time of decoding one file.
    """

    max_bytes: int = 64 * 2**20
    max_pixels: int = 200_000_000
    max_seconds: float = 20.0


LIMITS: Final = Limits()


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
    """The description of a trained tower: who it is, and the pixels that it wants.

    Attributes:
        name: Name in the registry of towers, such as `efficientnet_lite0`.
        image_size: Height and width of the pixels it takes.
        interpolation: One of `INTERPOLATIONS`.
        preprocessing_version: Version of the preprocessing it was trained with.
        text: The file as it was written, which may hold more keys.
        version: Free text, such as `0.1.0`.
        licence: Of the weights, as SPDX expression or sentence.
        sha256: Sum of the graph's file `model.onnx`, hexadecimal; empty where it is not known yet,
            as inside that file.
        quantiles: Means at 0, 1, … 100 % of a set of photos, increasing; empty for none.
        quantiles_of: Name of that set.
    """

    name: str
    image_size: tuple[int, int]
    interpolation: str
    preprocessing_version: int
    text: str
    version: str = UNVERSIONED
    licence: str = NO_LICENCE
    sha256: str = ""
    quantiles: tuple[float, ...] = ()
    quantiles_of: str = ""

    @classmethod
    def parse(cls, text: str, *, origin: str) -> Tower:
        """Reads a `tower.json`.

        Args:
            text: The file's text.
            origin: Where it comes from, for messages.

        Returns:
            The tower.

        Raises:
            ContractError: It is not JSON, a key is missing or of the wrong kind, or the quantiles
                are not as many increasing numbers as there have to be, of a named set.
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
                version=str(values.get("version", UNVERSIONED)),
                licence=str(values.get("licence", NO_LICENCE)),
                sha256=str(values.get("sha256", "")),
                quantiles=tuple(float(mean) for mean in values.get("quantiles", ())),
                quantiles_of=str(values.get("quantiles_of", "")),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
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
        if tower.quantiles and not _are_quantiles(tower.quantiles):
            raise ContractError(
                f"{origin} has quantiles that are not {QUANTILES} increasing means, those at "
                f"0, 1, … 100 % of a set of photos"
            )
        if bool(tower.quantiles) != bool(tower.quantiles_of):
            raise ContractError(
                f"{origin} has one of quantiles and quantiles_of, the photos' name, without the "
                f"other"
            )
        return tower

    @classmethod
    def read(cls, path: Path) -> Tower:
        """Reads a `tower.json` from its file.

        Args:
            path: The file.

        Returns:
            The tower.

        Raises:
            ContractError: The file cannot be read, or does not describe a tower.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ContractError(
                f"{path} cannot be read ({error}); write it with: iq-tools repository"
            ) from error
        return cls.parse(text, origin=str(path))


def _are_quantiles(means: tuple[float, ...]) -> bool:
    return (
        len(means) == QUANTILES
        and all(map(math.isfinite, means))
        and all(low < high for low, high in itertools.pairwise(means))
    )


def pixels_of(tower: Tower) -> Tensor:
    """The tensor between the two steps."""
    return Tensor(PIXELS, "TYPE_UINT8", (*tower.image_size, 3))


IMAGE_TENSOR: Final = Tensor(IMAGE, "TYPE_STRING", (1,))
MASK_TENSOR: Final = Tensor(MASK, "TYPE_FP32", (1,))
ERROR_TENSOR: Final = Tensor(ERROR, "TYPE_STRING", (1,))
SCORE_TENSORS: Final = tuple(
    Tensor(name, "TYPE_FP32", (size,)) for name, size in TOWER_OUTPUTS.items()
)
