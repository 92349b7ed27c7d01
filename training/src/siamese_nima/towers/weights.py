"""Weight files: read by layer name and checked in full, never a silent random start.

The layout is that of Keras 2's `save_weights` (HDF5; the root's `layer_names`, each layer's
`weight_names`), which the published NIMA weights use; towers are saved in it too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import h5py
import keras
import numpy as np
import numpy.typing as npt

from siamese_nima.errors import ConfigError, WeightsError
from siamese_nima.files import write_atomically
from siamese_nima.towers.graph_files import GRAPH_SUFFIX
from siamese_nima.towers.naming import counted_from_one
from siamese_nima.towers.registry import HEAD_LAYER, Tower, build_tower, get_tower
from siamese_nima.towers.served_graph import load_graph
from siamese_nima.towers.weight_files import find_weights

Arrays = dict[str, list[npt.NDArray[np.float32]]]
T = TypeVar("T")

# Names of titu1994's NASNet code: the head of the later version, a branch of the earlier one.
_ALIASES: Final = {"toplayer": HEAD_LAYER}
_EARLIER_BRANCH: Final = re.compile(r"(separable_conv_\d(?:_bn)?)_reduction_1_(\w+)")


@dataclass(frozen=True, slots=True)
class LoadedTower:
    """A tower with its weights.

    Attributes:
        tower: What it is, its image size the one that the weights were trained with.
        model: From normalised pixels to distributions.
        interpolation: How photos are resized for it, one of `contract.INTERPOLATIONS`.
    """

    tower: Tower
    model: keras.Model
    interpolation: str


def load_tower(name: str | Path, *, tower: str = "", interpolation: str = "") -> LoadedTower:
    """Builds a tower with the weights of a file.

    Args:
        name: See `weight_files.find_weights`.
        tower: Name in the registry; empty for what the file's record says.
        interpolation: One of `contract.INTERPOLATIONS`; empty for what the record says, or
            else `bilinear`.

    Returns:
        The tower.

    Raises:
        ConfigError: No tower is given, and nothing says whose weights they are.
        WeightsError: There is no such file, or it does not fit.
        UnknownTowerError: No tower has this name.
    """
    file = find_weights(name)
    if not (tower or file.tower):
        raise ConfigError(f"{file.path} holds weights only: say whose with --tower")
    chosen = get_tower(tower or file.tower)
    if file.image_size:
        chosen = replace(chosen, image_size=file.image_size)
    model = build_tower(chosen)
    load_weights(model, file.path)
    return LoadedTower(chosen, model, interpolation or file.interpolation or "bilinear")


def read_weights(path: str | Path) -> Arrays:
    """Reads a weight file.

    Args:
        path: An HDF5 file of `save_weights` or of Keras 2's `Model.save`, or a name; see
            `weight_files.find_weights`.

    Returns:
        The arrays of each layer that has any, in the layer's own order.

    Raises:
        WeightsError: There is no such file, or it is not such a file.
    """
    path = find_weights(path).path
    try:
        with h5py.File(path) as file:
            root = file.get("model_weights", file)
            if "layer_names" not in root.attrs:
                raise WeightsError(
                    f"{path} has no layer names; give an HDF5 file of Keras 2's layout "
                    "or one that this package saved"
                )
            arrays = {
                _text(layer): [
                    np.asarray(root[_text(layer)][_text(weight)], np.float32)
                    for weight in root[_text(layer)].attrs["weight_names"]
                ]
                for layer in root.attrs["layer_names"]
            }
    except (OSError, KeyError) as error:
        raise WeightsError(f"{path} is not a readable weight file: {error}") from error
    return {layer: values for layer, values in arrays.items() if values}


def load_weights(model: keras.Model, path: str | Path, *, headless: bool = False) -> None:
    """Loads a weight file into a model, all of it or nothing.

    Layers are matched by name and shape. Names that Keras counted up in some process
    (`conv2d_204`) match by their count within the file, see `towers.naming`.

    Args:
        model: A model with the file's layer names.
        path: See `read_weights`; or the ONNX graph of such a model.
        headless: Whether the file holds a backbone only: the model's last layer keeps its values,
            and a classifier in the file is not asked for.

    Raises:
        WeightsError: The file does not fit; the message lists what is missing, what is too much
            and what has another shape.
    """
    if Path(path).suffix.lower() == GRAPH_SUFFIX:
        if headless:
            raise WeightsError(f"{path} is a graph with its head: it cannot be taken as headless")
        load_graph(model, Path(path))
        return
    arrays = _counted_from_one(read_weights(path))
    wanted = _counted_from_one({layer.name: layer for layer in model.layers if layer.weights})
    if headless:
        wanted.popitem()
    problems = [f"{name}: not in the file" for name in wanted if name not in arrays]
    problems += [f"{name}: not in the model" for name in arrays if name not in wanted]
    for name, layer in wanted.items():
        have, want = (
            [a.shape for a in arrays.get(name, [])],
            [tuple(w.shape) for w in layer.weights],
        )
        if have and have != want:
            problems.append(f"{name}: shapes {have} in the file, {want} in the model")
    if problems:
        shown = "\n  ".join(problems[:20])
        more = f"\n  and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise WeightsError(f"{path} does not fit {model.name}:\n  {shown}{more}")
    for name, layer in wanted.items():
        layer.set_weights(arrays[name])


def save_weights(model: keras.Model, path: Path) -> None:
    """Saves a model's weights by layer name; a file that was there is replaced in one step.

    Args:
        model: Any model of flat layers.
        path: Where to; folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(path) as partial, h5py.File(partial, "w") as file:
        layers = [layer for layer in model.layers if layer.weights]
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        for layer in layers:
            group = file.create_group(layer.name)
            # A layer's variables may share a name (a separable convolution's kernels do).
            names = [f"{i}_{weight.name}" for i, weight in enumerate(layer.weights)]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, value in zip(names, layer.get_weights(), strict=True):
                group.create_dataset(name, data=value)


def _counted_from_one(layers: dict[str, T]) -> dict[str, T]:
    names = counted_from_one(layers)
    return {_todays(names[name]): value for name, value in layers.items()}


def _todays(name: str) -> str:
    """Name that the registry's towers have for a layer of a published file."""
    return _ALIASES.get(name, _EARLIER_BRANCH.sub(r"\1_reduction_right1_\2", name))


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
