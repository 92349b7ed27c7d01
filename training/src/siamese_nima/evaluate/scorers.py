"""Scorers: a weight file, a SavedModel, an ONNX file or a server, all alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from iq_serving.contract import (
    DISTRIBUTION,
    ENSEMBLE_MODEL,
    ERROR,
    IMAGE,
    MASK,
    PIXELS,
    TOWER_FILE,
    VOTE_BINS,
    WEIGHT_SUFFIXES,
)
from iq_serving.preprocessing import ImageError, load_pixels
from siamese_nima.errors import ConfigError, WeightsError
from siamese_nima.towers.weight_files import find_weights

Floats = npt.NDArray[np.float32]

URL_SCHEME: Final = "grpc://"


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of a batch of photos.

    Attributes:
        distributions: float32 [N,10]; NaN where a photo could not be scored.
        errors: Empty where it could, else `CODE: text` [N].
    """

    distributions: Floats
    errors: list[str]


Scorer = Callable[[Sequence[bytes]], Scored]


def open_scorer(model: str | Path, *, tower: str = "", interpolation: str = "") -> Scorer:
    """Opens a scorer.

    Args:
        model: A weight file (`.h5`, `.hdf5`) or the name of a published one (see
            `weight_files.find_weights`), a folder with a SavedModel, an `.onnx` file, or
            `grpc://HOST:PORT` of a server.
        tower: Name in the registry; for weight files only.
        interpolation: The way photos are resized, see `weights.load_tower`; for weight files only,
            the others say it themselves.

    Returns:
        From the bytes of N files to their scores.

    Raises:
        ConfigError: The model is of no such kind, or a weight file comes without a tower.
        WeightsError: The weight file does not fit the tower.
    """
    if str(model).startswith(URL_SCHEME):
        return _served(str(model).removeprefix(URL_SCHEME))
    path = Path(model).expanduser()
    if (path / "saved_model.pb").is_file():
        return _saved_model(path)
    if path.suffix.lower() == ".onnx" and path.is_file():
        return _onnx(path)
    if path.suffix.lower() in WEIGHT_SUFFIXES:
        return _weights(model, tower, interpolation)
    try:
        file = find_weights(model).path
    except WeightsError as error:
        raise ConfigError(
            f"{model} is no weight file ({', '.join(WEIGHT_SUFFIXES)}), SavedModel folder, .onnx "
            f"file or {URL_SCHEME}HOST:PORT: {error}"
        ) from error
    return _weights(file, tower, interpolation)


def _decoded(
    predict: Callable[[npt.NDArray[np.uint8]], Floats],
    image_size: tuple[int, int],
    interpolation: str,
) -> Scorer:
    """A scorer from a function of pixels; what cannot be decoded is not given to it."""

    def score(files: Sequence[bytes]) -> Scored:
        pixels, errors = [], []
        for data in files:
            try:
                pixels.append(load_pixels(data, image_size=image_size, interpolation=interpolation))
                errors.append("")
            except ImageError as error:
                errors.append(str(error))
        distributions = np.full((len(files), VOTE_BINS), np.nan, np.float32)
        if pixels:
            distributions[[not error for error in errors]] = predict(np.stack(pixels))
        return Scored(distributions, errors)

    return score


def _weights(name: str | Path, tower: str, interpolation: str) -> Scorer:
    from siamese_nima.towers.weights import load_tower

    loaded = load_tower(name, tower=tower, interpolation=interpolation)

    def predict(pixels: npt.NDArray[np.uint8]) -> Floats:
        normalised = loaded.tower.normalise(pixels.astype(np.float32))
        return np.asarray(loaded.model.predict_on_batch(normalised))

    return _decoded(predict, loaded.tower.image_size, loaded.interpolation)


def _saved_model(path: Path) -> Scorer:
    import tensorflow as tf

    from siamese_nima.export import SIGNATURE, TOWER_JSON

    graph = tf.saved_model.load(str(path)).signatures[SIGNATURE]
    size, interpolation = _described((path / TOWER_JSON).read_text())
    return _decoded(
        lambda pixels: np.asarray(graph(**{PIXELS: tf.constant(pixels)})[DISTRIBUTION]),
        size,
        interpolation,
    )


def _onnx(path: Path) -> Scorer:
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError("ONNX files need: pip install 'siamese-nima[onnx]'") from error
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    if TOWER_FILE not in metadata:
        raise ConfigError(f"{path} does not say its tower: convert it with iq-tools")
    inputs = {each.name for each in session.get_inputs()}

    def predict(pixels: npt.NDArray[np.uint8]) -> Floats:
        feed: dict[str, Any] = {PIXELS: pixels}
        if MASK in inputs:
            feed[MASK] = np.ones((len(pixels), 1), np.float32)
        return np.asarray(session.run([DISTRIBUTION], feed)[0])

    return _decoded(predict, *_described(metadata[TOWER_FILE]))


def _described(text: str) -> tuple[tuple[int, int], str]:
    """Image size and interpolation of a `tower.json`."""
    description = json.loads(text)
    height, width = description["image_size"]
    return (height, width), description["interpolation"]


def _served(url: str) -> Scorer:
    try:
        from tritonclient import grpc
    except ImportError as error:
        raise ConfigError("servers need: pip install 'siamese-nima[served]'") from error
    client = grpc.InferenceServerClient(url)

    def score(files: Sequence[bytes]) -> Scored:
        images = grpc.InferInput(IMAGE, [len(files), 1], "BYTES")
        images.set_data_from_numpy(np.array(files, np.object_).reshape(-1, 1))
        try:
            result = client.infer(ENSEMBLE_MODEL, [images])
        except grpc.InferenceServerException as error:
            raise ConfigError(f"the server at {url} did not score: {error.message()}") from error
        errors = [text.decode() for text in result.as_numpy(ERROR).ravel()]
        return Scored(result.as_numpy(DISTRIBUTION), errors)

    return score
