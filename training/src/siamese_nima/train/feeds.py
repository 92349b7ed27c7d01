"""Learners and their feeds: a whole tower fed with pixels, or its upper part with kept features.

A frozen part computes the same numbers in every epoch. Where photos are not drawn anew, they are
computed once, and an epoch is only what lies above.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from iq_serving.preprocessing import PREPROCESSING_VERSION
from siamese_nima.data.pipeline import PixelCache, feature_batches, pixel_batches
from siamese_nima.data.samples import ORIGINAL, Sample
from siamese_nima.errors import ConfigError
from siamese_nima.progress import Progress, silent
from siamese_nima.towers.parts import tower_part
from siamese_nima.towers.registry import Tower
from siamese_nima.train.draws import Draw, whole

# From a draw and the number of rows a batch to a dataset of (rows, inputs).
Feed = Callable[[Draw, int], Any]

_BATCH: Final = 32  # photos whose features are computed at once


@dataclass(frozen=True, slots=True)
class Learner:
    """A part of a tower and its inputs.

    Attributes:
        part: From normalised pixels, or features, to distributions [N,10].
        prepare: From a batch of inputs to what `part` takes.
        inputs: Shape and dtype of a batch of inputs.
    """

    part: keras.Model
    prepare: Callable[[Any], Any]
    inputs: tf.TensorSpec

    def predictor(self, judged: keras.Model) -> Any:
        """A compiled function from inputs to the outputs of a model, float32.

        Args:
            judged: Takes what `part` takes.
        """

        def predict(inputs: Any) -> list[Any]:
            outputs = judged(self.prepare(inputs), training=False)
            return [tf.cast(each, tf.float32) for each in outputs]

        return tf.function(predict, [self.inputs])


def pixel_learner(tower: Tower, model: keras.Model) -> Learner:
    """The whole tower, fed with pixels uint8 [N,H,W,3]."""
    return Learner(
        model,
        lambda pixels: tower.normalise(tf.cast(pixels, tf.float32)),
        tf.TensorSpec([None, *model.input_shape[1:]], tf.uint8),
    )


def pixel_feed(
    samples: Sequence[Sample],
    image_size: tuple[int, int],
    interpolation: str,
    *,
    workers: int = 0,
    cache_mib: int = 0,
) -> Feed:
    """Decodes samples when they are asked for.

    Args:
        samples: What rows point to.
        image_size: Height and width.
        interpolation: One of `contract.INTERPOLATIONS`.
        workers: Decoders at work at once, 0 for one a core.
        cache_mib: Memory for decoded pixels; what fits is decoded once.

    Returns:
        The feed of a `pixel_learner`.
    """
    cache = PixelCache(cache_mib, image_size)

    def feed(draw: Draw, batch_size: int) -> Any:
        return pixel_batches(
            samples,
            draw.rows,
            draw.mirrored,
            draw.boxes,
            draw.scales,
            batch_size=batch_size,
            image_size=image_size,
            interpolation=interpolation,
            workers=workers,
            cache=cache,
        )

    return feed


def cut_layer(model: keras.Model, depth: int) -> str:
    """The layer that everything above the frozen part reads from, and nothing below it.

    Args:
        model: A tower.
        depth: Number of frozen layers.

    Returns:
        Its name; of a dropout at the end of the frozen part, what lies below: a dropout draws anew
        in every step.

    Raises:
        ConfigError: Nothing is frozen, or connections lead around the last frozen layer.
    """
    while depth and isinstance(model.layers[depth - 1], keras.layers.Dropout):
        depth -= 1
    # Layer 0 is the pixels.
    if depth < 2:
        raise ConfigError("cache_features needs a frozen part: set freeze_through to a layer")
    name = str(model.layers[depth - 1].name)
    try:
        tower_part(model, after=name)
    except ValueError as error:
        raise ConfigError(
            f"cache_features cannot cut {model.name} at {name}: connections lead around it. "
            "Set freeze_through to a layer that everything above reads from, or leave "
            "cache_features away"
        ) from error
    return name


def feature_learner(model: keras.Model, cut: str) -> Learner:
    """Learner of what lies above a layer, fed with that layer's output."""
    part = tower_part(model, after=cut)
    kept = _kept(part.inputs[0])
    return Learner(part, lambda features: features, tf.TensorSpec(part.input_shape, kept))


def _kept(features: Any) -> Any:
    """The dtype, among those that NumPy has, in which nothing of some features is lost."""
    return tf.float16 if features.dtype == "float16" else tf.float32


def feature_feed(
    tower: Tower,
    model: keras.Model,
    cut: str,
    samples: Sequence[Sample],
    interpolation: str,
    folder: Path,
    *,
    workers: int = 0,
    progress: Progress = silent,
) -> Feed:
    """Computes the output of a layer for every sample, or finds it in the folder.

    A file is named by what its content depends on: weights of the frozen part, photos, distortions
    and preprocessing. It appears complete or not at all, and is read without being loaded.

    Args:
        tower: Its normalisation is used.
        model: The tower; what lies below `cut` is frozen.
        cut: See `cut_layer`.
        samples: With their digests.
        interpolation: One of `contract.INTERPOLATIONS`.
        folder: Where features are kept.
        workers: Decoders at work at once, 0 for one a core.
        progress: Wraps the batches to show how far it is, given their number and a title.

    Returns:
        The feed of a `feature_learner`; it neither mirrors, crops nor scales.
    """
    # The undistorted rung is the same in the ladder of every kind.
    keys = [_sample_key(sample) for sample in samples]
    place: dict[str, int] = {}
    position = np.array([place.setdefault(key, len(place)) for key in keys])
    _, rows = np.unique(position, return_index=True)
    trunk = pixel_learner(tower, tower_part(model, through=cut))
    path = folder / f"{_cache_key(trunk.part, list(place), interpolation)}.npy"
    if not path.exists():
        size = model.input_shape[1:3]
        pixels = pixel_feed(samples, size, interpolation, workers=workers)
        batches = pixels(whole(rows), _BATCH)
        shown = progress(batches, -(-len(rows) // _BATCH), f"features of {cut}")
        _write(path, trunk, shown, len(rows))
    features = np.load(path, mmap_mode="r")

    def feed(draw: Draw, batch_size: int) -> Any:
        return feature_batches(features, position, draw.rows, batch_size=batch_size)

    return feed


def _sample_key(sample: Sample) -> str:
    """Equal for samples of equal pixels; noise is drawn from the file's name."""
    noise = f"{sample.path.name} {sample.severity}" if sample.kind not in ("", ORIGINAL) else ""
    return f"{sample.digest.hex()} {sample.kind} {noise}"


def _cache_key(trunk: keras.Model, samples: Sequence[str], interpolation: str) -> str:
    digest = hashlib.sha256()
    about = [PREPROCESSING_VERSION, interpolation, trunk.input_shape, trunk.layers[-1].name]
    policies = [layer.compute_dtype for layer in trunk.layers]
    digest.update(repr([about, policies, samples]).encode())
    for weight in trunk.weights:
        digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
    return digest.hexdigest()[:32]


def _write(path: Path, trunk: Learner, batches: Iterable[Any], count: int) -> None:
    """Fills a file of features, batch by batch."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dtype = _kept(trunk.part.outputs[0])
    compute = tf.function(
        lambda pixels: tf.cast(trunk.part(trunk.prepare(pixels), training=False), dtype),
        [trunk.inputs],
    )
    # Several machines may share the folder.
    partial = path.with_name(f"{path.name}.{platform.node()}-{os.getpid()}.partial")
    shape = (count, *trunk.part.output_shape[1:])
    features = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
        partial, "w+", dtype.as_numpy_dtype, shape
    )
    done = 0
    try:
        for _, pixels in batches:
            features[done : done + len(pixels)] = compute(pixels).numpy()
            done += len(pixels)
        features.flush()
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
