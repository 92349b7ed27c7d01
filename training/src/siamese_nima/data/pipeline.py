"""From samples to batches: `tf.data` pipelines that decode in parallel and read ahead."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image

from siamese_nima.data.decoding import decode
from siamese_nima.data.samples import Sample


class PixelCache:
    """Decoded samples, as many as there is room for; the others are decoded anew each time.

    Which ones stay does not matter: an order that is drawn anew every epoch asks for each as often.
    """

    def __init__(self, mebibytes: int, image_size: tuple[int, int]) -> None:
        """Makes an empty cache.

        Args:
            mebibytes: Room, 0 for none.
            image_size: Height and width of the pixels.
        """
        self._room = mebibytes * 2**20 // (image_size[0] * image_size[1] * 3)
        self._kept: dict[int, npt.NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        """Number of samples that it holds."""
        return len(self._kept)

    def get(self, row: int, load: Callable[[], npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
        """The pixels of a row, decoded by `load` if they are not there. Any thread may ask."""
        pixels = self._kept.get(row)
        if pixels is None:
            pixels = load()
            if len(self._kept) < self._room:
                self._kept[row] = pixels
        return pixels


def pixel_batches(
    samples: Sequence[Sample],
    rows: npt.NDArray[np.int64],
    mirrored: npt.NDArray[np.bool_],
    boxes: npt.NDArray[np.float32],
    scales: npt.NDArray[np.float32],
    *,
    batch_size: int,
    image_size: tuple[int, int],
    interpolation: str,
    workers: int = 0,
    cache: PixelCache | None = None,
) -> Any:
    """Decodes samples in a given order.

    The order of the batches does not depend on which decoder is done first.

    Args:
        samples: What the rows point to.
        rows: Indices of samples [N].
        mirrored: Whether to mirror each [N].
        boxes: Left, top, right and lower side of what is kept of each, as shares [N,4].
        scales: Share of its sides that each is scaled down to, and up again [N].
        batch_size: Images a batch; the last batch may be smaller.
        image_size: Height and width.
        interpolation: One of `contract.INTERPOLATIONS`.
        workers: Decoders at work at once, 0 for one a core.
        cache: Keeps what was decoded, for these samples only.

    Returns:
        A `tf.data.Dataset` of (rows int64 [B], pixels uint8 [B,H,W,3]).
    """

    def load_row(row: int) -> npt.NDArray[np.uint8]:
        return decode(samples[row], image_size=image_size, interpolation=interpolation)

    def pixels(
        row: np.int64, mirror: np.bool_, box: npt.NDArray[np.float32], scale: np.float32
    ) -> npt.NDArray[np.uint8]:
        index = int(row)
        decoded = (
            cache.get(index, lambda: load_row(index)) if cache is not None else load_row(index)
        )
        return augment(decoded, bool(mirror), box, float(scale))

    def load(row: Any, *changes: Any) -> tuple[Any, Any]:
        loaded = tf.numpy_function(pixels, [row, *changes], tf.uint8, stateful=False)
        loaded.set_shape((*image_size, 3))
        return row, loaded

    return (
        tf.data.Dataset.from_tensor_slices((rows, mirrored, boxes, scales))
        .map(load, num_parallel_calls=workers or os.cpu_count(), deterministic=True)
        .batch(batch_size)
        .prefetch(2)
        .with_options(_fixed())
    )


def augment(
    pixels: npt.NDArray[np.uint8], mirror: bool, box: npt.NDArray[np.float32], scale: float
) -> npt.NDArray[np.uint8]:
    """A photo cropped, made softer and mirrored, in the size it had.

    Args:
        pixels: [H,W,3].
        mirror: Whether left and right change places.
        box: Left, top, right and lower side of what is kept, as shares of width and height.
        scale: Share of the sides that what is kept is scaled down to, and up again.

    Returns:
        Pixels [H,W,3]; the same array where nothing is to be done.
    """
    height, width = pixels.shape[:2]
    if scale < 1 or not np.array_equal(box, (0, 0, 1, 1)):
        sides = np.minimum(box, 1.0) * (width, height, width, height)
        left, top, right, lower = sides.tolist()
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = Image.fromarray(pixels).resize(
            small, Image.Resampling.BILINEAR, box=(left, top, right, lower)
        )
        if small != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        pixels = np.asarray(picture)
    return np.ascontiguousarray(pixels[:, ::-1]) if mirror else pixels


def feature_batches(
    features: npt.NDArray[Any],
    position: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    *,
    batch_size: int,
) -> Any:
    """Reads features that were computed once.

    Args:
        features: [M,...], in memory or mapped.
        position: Where in `features` each sample's are [S].
        rows: Indices of samples [N].
        batch_size: Rows a batch; the last batch may be smaller.

    Returns:
        A `tf.data.Dataset` of (rows int64 [B], features [B,...]).
    """

    def load(batch: Any) -> tuple[Any, Any]:
        read = tf.numpy_function(
            lambda each: features[position[each]], [batch], features.dtype, stateful=False
        )
        read.set_shape((None, *features.shape[1:]))
        return batch, read

    return (
        tf.data.Dataset.from_tensor_slices(rows)
        .batch(batch_size)
        .map(load, num_parallel_calls=2, deterministic=True)
        .prefetch(2)
        .with_options(_fixed())
    )


def _fixed() -> tf.data.Options:
    """No tuning: the numbers are set, and its thread can hold up the end of an epoch for 3 s."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options
