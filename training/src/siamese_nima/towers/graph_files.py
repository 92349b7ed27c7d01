"""ONNX files of served towers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError

from iq_serving.contract import TOWER_FILE, ContractError, Tower
from iq_serving.identity import onnx_metadata
from siamese_nima.errors import WeightsError

GRAPH_SUFFIX: Final = ".onnx"


def read_tower(path: Path) -> Tower:
    """Reads what a graph says of its tower.

    Args:
        path: The file, as `iq-tools onnx` writes it.

    Raises:
        WeightsError: It is no such file.
    """
    try:
        return Tower.parse(onnx_metadata(path)[TOWER_FILE], origin=str(path))
    except (KeyError, ContractError) as error:
        raise WeightsError(f"{path} is no graph of a tower: {error}") from error


def read_graph(path: Path) -> onnx.ModelProto:
    """Reads a graph.

    Raises:
        WeightsError: There is no such file, or it is damaged.
    """
    try:
        return onnx.load(path)
    except (OSError, DecodeError) as error:
        raise WeightsError(f"{path} is no ONNX file: {error}") from error
