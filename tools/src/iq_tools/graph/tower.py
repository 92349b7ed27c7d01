"""A tower's ONNX file: its bytes, its graph and what it says of itself, read once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import onnx

from iq_serving.contract import (
    ENSEMBLE_MODEL,
    ONNX_FILE,
    TOWER_FILE,
    ContractError,
    Tower,
)
from iq_serving.layout import served_place
from iq_tools.errors import GraphError, InputError


@dataclass(frozen=True, slots=True)
class TowerGraph:
    """An opened ONNX file.

    Attributes:
        data: The file's bytes.
        model: The graph in them.
        tower: The `tower.json` of its metadata.
    """

    data: bytes
    model: onnx.ModelProto
    tower: Tower

    @property
    def sha256(self) -> str:
        """The sum of the file, hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()


def open_tower(onnx_file: Path) -> TowerGraph:
    """Reads and parses an ONNX file that `iq-tools onnx` wrote.

    Raises:
        InputError: There is no such file.
        GraphError: It is no ONNX graph, or says nothing of its tower.
    """
    try:
        data = onnx_file.read_bytes()
    except OSError as error:
        raise InputError(f"{onnx_file} cannot be read: {error.strerror}") from error
    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # protobuf's DecodeError, whichever protobuf is in use
        raise GraphError(f"{onnx_file} is no ONNX file, or a damaged one: {error}") from error
    return TowerGraph(data, model, _described(model, onnx_file))


def read_tower(onnx_file: Path) -> Tower:
    """The description of the tower inside an ONNX file; errors as of `open_tower`."""
    return open_tower(onnx_file).tower


def graph_of(repository: Path, ensemble: str = ENSEMBLE_MODEL) -> Path:
    """The ONNX file of the tower that an ensemble of a model repository serves.

    Raises:
        InputError: There is none, or the ensemble does not say which of them it asks.
    """
    try:
        path = repository / served_place(repository, ensemble).folder / ONNX_FILE
    except ContractError as error:
        raise InputError(str(error)) from error
    if not path.is_file():
        raise InputError(
            f"{repository} is no model repository: {path} is missing. Write one with: iq-tools "
            f"repository"
        )
    return path


def _described(model: onnx.ModelProto, onnx_file: Path) -> Tower:
    for entry in model.metadata_props:
        if entry.key == TOWER_FILE:
            try:
                return Tower.parse(entry.value, origin=f"the metadata of {onnx_file}")
            except ContractError as error:
                raise GraphError(str(error)) from error
    raise GraphError(
        f"{onnx_file} has no {TOWER_FILE} in its metadata. Make it with: iq-tools onnx SAVED_MODEL"
    )
