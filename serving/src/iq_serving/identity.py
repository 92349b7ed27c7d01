"""The identity of the towers in a repository: refused where its parts do not belong together.

A tower's version is its graph and its `tower.json`. Both are held against each other and against
what the configurations say, because Triton checks none of it and would serve wrong scores.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from .contract import ONNX_FILE, TOWER_FILE, TOWER_PARAMETER, ContractError, Tower

_AGAIN: Final = "write the repository again with: iq-tools repository --onnx FILE"

# Field 14 of an ONNX `ModelProto`, `metadata_props`: messages of a key (1) and a value (2).
_METADATA_PROPS: Final = 14
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


def check_versions(folder: Path, parameters: Mapping[str, str]) -> Tower:
    """Holds every version of a tower against its configuration, and against each other.

    Args:
        folder: The tower's model folder, with a folder for each version.
        parameters: Those of a model's configuration, which describe each version.

    Returns:
        The description of the newest; all of them want the same pixels.

    Raises:
        ContractError: A version is incomplete, has parts that do not belong together, or wants
            other pixels than the rest.
    """
    if (folder / TOWER_FILE).exists():
        raise ContractError(
            f"{folder / TOWER_FILE} belongs to an older layout, in which it was not known whose "
            f"graph it describes; remove it and {_AGAIN}"
        )
    versions = sorted(int(path.name) for path in folder.glob("*") if path.name.isdecimal())
    if not versions:
        raise ContractError(
            f"{folder} has no version of the tower: it has to lie beside the preprocessing in a "
            f"local folder; {_AGAIN}"
        )
    towers = [check_version(folder / str(version), parameters) for version in versions]
    served = towers[-1]
    for version, tower in zip(versions, towers, strict=True):
        if _preprocessing(tower) != _preprocessing(served):
            raise ContractError(
                f"version {version} of {folder} wants {_in_words(tower)}, version {versions[-1]} "
                f"{_in_words(served)}: one preprocessing cannot feed both. Give one of them an "
                f"ensemble of its own with: iq-tools repository --name NAME"
            )
    return served


def check_version(folder: Path, parameters: Mapping[str, str]) -> Tower:
    """Holds one version of a tower against its configuration and its graph.

    Args:
        folder: The version's folder, named by its number.
        parameters: Those of a model's configuration.

    Returns:
        The tower's description.

    Raises:
        ContractError: `tower.json` is missing, or differs from what the configuration says of this
            version, from the graph's sum or from what the graph says of itself.
    """
    path = folder / TOWER_FILE
    tower = Tower.read(path)
    stated = parameters.get(TOWER_PARAMETER + folder.name)
    if stated is None:
        raise ContractError(
            f"{folder} is a version that the configurations do not know: it was not laid there by "
            f"iq-tools. A tower with the same preprocessing comes in with: iq-tools repository "
            f"--onnx FILE --model-version {folder.name}; one with another as an ensemble of its "
            f"own: --name NAME"
        )
    if json.loads(stated) != json.loads(tower.text):
        raise ContractError(f"{path} is not what the model's configuration says; {_AGAIN}")
    graph = folder / ONNX_FILE
    try:
        found = hashlib.sha256(graph.read_bytes()).hexdigest()
    except OSError as error:
        raise ContractError(f"{graph} cannot be read ({error}); {_AGAIN}") from error
    if found != tower.sha256:
        raise ContractError(
            f"{path} describes a graph with the sha256 {tower.sha256 or '(none)'}, {graph.name} "
            f"has {found}: the repository is half written or was put together by hand; {_AGAIN}"
        )
    check_graph(graph, tower)
    return tower


def check_graph(graph: Path, tower: Tower) -> None:
    """Holds what an ONNX file says of itself against a tower's description.

    Args:
        graph: The ONNX file.
        tower: What is said of it elsewhere.

    Raises:
        ContractError: They differ in the tower's name or in the pixels that it wants, or the file
            says nothing or is damaged.
    """
    text = onnx_metadata(graph).get(TOWER_FILE)
    if text is None:
        raise ContractError(
            f"{graph} does not say which pixels it wants; make it with: iq-tools onnx SAVED_MODEL"
        )
    own = Tower.parse(text, origin=f"the metadata of {graph}")
    if (own.name, _preprocessing(own)) != (tower.name, _preprocessing(tower)):
        raise ContractError(
            f"{graph} is the tower {own.name} for {_in_words(own)}, but is described as "
            f"{tower.name} for {_in_words(tower)}; {_AGAIN}"
        )


def config_parameter(version: int, tower: Tower) -> str:
    """The line of a model's configuration that describes a version of its tower.

    Args:
        version: The version's number.
        tower: Its description.

    Returns:
        A `parameters` entry in the text format of protobuf, on one line.
    """
    text = json.dumps(json.loads(tower.text), ensure_ascii=False)
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return (
        f"parameters {{ key: \"{TOWER_PARAMETER}{version}\" value {{ string_value: '{quoted}' }} }}"
    )


def parameters_of(model_config: str) -> dict[str, str]:
    """The parameters of a model's configuration, by their keys.

    Args:
        model_config: The configuration as JSON, as Triton hands it to a model.
    """
    parameters = json.loads(model_config).get("parameters", {})
    return {key: value["string_value"] for key, value in parameters.items()}


def onnx_metadata(graph: Path) -> dict[str, str]:
    """The metadata of an ONNX file, read without a library, which servers lack.

    Args:
        graph: The file.

    Returns:
        Texts by key.

    Raises:
        ContractError: It cannot be read, or is no ONNX file.
    """
    try:
        with (
            graph.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            entries = [
                bytes(data[start:end])
                for number, start, end in _fields(data)
                if number == _METADATA_PROPS
            ]
        pairs = [
            {number: entry[start:end] for number, start, end in _fields(entry)} for entry in entries
        ]
        return {pair[1].decode(): pair.get(2, b"").decode() for pair in pairs}
    except (OSError, IndexError, KeyError, ValueError) as error:
        raise ContractError(f"{graph} is no ONNX file, or a damaged one: {error}") from error


def _fields(message: bytes | mmap.mmap) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of the fields of a protobuf message that have a length."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire = key >> 3, key & 7
        if wire == _LENGTH:
            size, position = _varint(message, position)
            end = position + size
            if end > len(message):
                raise ValueError("it is cut off")
            yield number, position, end
            position = end
        elif wire == _VARINT:
            _, position = _varint(message, position)
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            position += 8 if wire == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"a field of kind {wire}")


def _varint(message: bytes | mmap.mmap, position: int) -> tuple[int, int]:
    """A number as protobuf writes it, seven bits in a byte, and the position behind it."""
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7


def _preprocessing(tower: Tower) -> tuple[tuple[int, int], str, int]:
    return tower.image_size, tower.interpolation, tower.preprocessing_version


def _in_words(tower: Tower) -> str:
    height, width = tower.image_size
    return (
        f"{height}x{width} {tower.interpolation} pixels of preprocessing "
        f"{tower.preprocessing_version}"
    )
