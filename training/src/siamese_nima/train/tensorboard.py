"""What TensorBoard shows of a run: scalars, and the held-out pairs that are ranked worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from siamese_nima.data.decoding import decode
from siamese_nima.data.samples import ORIGINAL, Sample
from siamese_nima.errors import ConfigError

Indices = npt.NDArray[np.int64]

THUMBNAIL: Final = 160
_CAPTION: Final = 34  # pixels below a thumbnail, two lines of text
_GAP: Final = 8
_COLUMNS: Final = 2  # pairs side by side


class Board:
    """Writes events of a run; steps and epochs count from the start of their phase."""

    def __init__(self, folder: Path) -> None:
        """Opens the folder.

        Args:
            folder: Where `tensorboard --logdir` looks.

        Raises:
            ConfigError: TensorBoard is not installed.
        """
        if find_spec("tensorboard") is None:
            raise ConfigError("tensorboard = true needs: pip install 'siamese-nima[tensorboard]'")
        self._writer = tf.summary.create_file_writer(str(folder))

    def scalars(self, prefix: str, values: Mapping[str, float], step: int) -> None:
        """Adds one point to each curve `prefix/name`."""
        with self._writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(f"{prefix}/{name}", value)

    def picture(self, name: str, pixels: npt.NDArray[np.uint8], step: int) -> None:
        """Adds a picture [H,W,3]."""
        with self._writer.as_default(step=step):
            tf.summary.image(name, pixels[None])

    def flush(self) -> None:
        """Makes TensorBoard see what was added."""
        self._writer.flush()

    def close(self) -> None:
        """Ends the file."""
        self._writer.close()


def draw_pairs(
    samples: Sequence[Sample],
    means: npt.NDArray[Any],
    better: Indices,
    worse: Indices,
    *,
    interpolation: str = "bilinear",
) -> npt.NDArray[np.uint8]:
    """Draws pairs as the tower sees them, each with label and predicted mean.

    Args:
        samples: N labelled photos.
        means: Predicted means [N].
        better: Rows of the sides with the higher label [P], drawn left.
        worse: Rows of the other sides [P], drawn right.
        interpolation: One of `contract.INTERPOLATIONS`.

    Returns:
        Pixels [H,W,3].

    Raises:
        OSError: A file can no longer be read.
        ImageError: A file can no longer be decoded.
    """
    cell = (2 * THUMBNAIL + 3 * _GAP, THUMBNAIL + _CAPTION + 2 * _GAP)
    rows = -(-len(better) // _COLUMNS)
    sheet = Image.new("RGB", (cell[0] * min(_COLUMNS, len(better)), cell[1] * rows), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for number, pair in enumerate(zip(better, worse, strict=True)):
        left, top = number % _COLUMNS * cell[0], number // _COLUMNS * cell[1]
        for side, row in enumerate(pair):
            x, y = left + _GAP + side * (THUMBNAIL + _GAP), top + _GAP
            size = (THUMBNAIL, THUMBNAIL)
            pixels = decode(samples[row], image_size=size, interpolation=interpolation)
            sheet.paste(Image.fromarray(pixels), (x, y))
            draw.text(
                (x, y + THUMBNAIL + 2), _caption(samples[row], means[row]), "black", font=font
            )
    return np.asarray(sheet)


def _caption(sample: Sample, mean: float) -> str:
    kind = sample.kind if sample.kind not in ("", ORIGINAL) else ""
    name = f"{sample.path.stem} {kind}".strip()
    return f"{name[:24]}\nlabel {sample.score:.3g}, predicted {mean:.2f}"
