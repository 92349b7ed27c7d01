"""The repository of a personal tower: the one that it began from, with the tower exchanged."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import onnx

from iq_serving.contract import (
    ENSEMBLE_MODEL,
    INT8_FILE,
    ONNX_FILE,
    PLAN_FILE,
    TOWER_FILE,
    ContractError,
    Tower,
)
from iq_serving.identity import config_parameter
from iq_serving.layout import Place, served_place
from siamese_nima.errors import ConfigError, WeightsError
from siamese_nima.files import write_atomically

DEFAULT: Final = "default"

_WHEEL: Final = "iq_nima"
# Added to the version of the tower that it began from.
_PERSONAL: Final = "personal"
_CARD: Final = "MODEL_CARD.md"  # speaks of the tower that it began from
_SCALE: Final = ("quantiles", "quantiles_of")


@dataclass(frozen=True, slots=True)
class ServedTower:
    """The tower that a repository serves.

    Attributes:
        repository: The folder.
        place: Where it lies in there.
        tower: Its description.
    """

    repository: Path
    place: Place
    tower: Tower

    @property
    def graph(self) -> Path:
        """Its ONNX file."""
        return self.folder / ONNX_FILE

    @property
    def folder(self) -> Path:
        """The version's folder."""
        return self.repository / self.place.folder


def find_served(repository: str | Path) -> ServedTower:
    """Finds the tower that a repository serves.

    Args:
        repository: A folder that `iq-tools` wrote; `DEFAULT` for `./model_repository` or, where
            there is none, the one that the wheel `iq-nima` installed.

    Returns:
        The version of the tower that the ensemble asks.

    Raises:
        ConfigError: It is no such folder, or serves a tower of eight-bit integers.
    """
    repository = _default() if repository == DEFAULT else Path(repository)
    if not (repository / ENSEMBLE_MODEL).is_dir():
        raise ConfigError(
            f"{repository} is no model repository with the ensemble {ENSEMBLE_MODEL}: give the "
            "folder that iq-client serves, with --from"
        )
    try:
        place = served_place(repository)
        tower = Tower.read(repository / place.folder / TOWER_FILE)
    except ContractError as error:
        raise ConfigError(str(error)) from error
    if (repository / place.folder / INT8_FILE).exists():
        raise ConfigError(
            f"{repository} serves a tower of eight-bit integers, which does not learn: begin from "
            "a repository written with --precision f32"
        )
    return ServedTower(repository, place, tower)


def _default() -> Path:
    here = Path("model_repository")
    if not here.is_dir() and (wheel := find_spec(_WHEEL)) and wheel.submodule_search_locations:
        return Path(wheel.submodule_search_locations[0])
    return here


def write_personal(base: ServedTower, graph: onnx.ModelProto, output: Path) -> Tower:
    """Writes a repository that serves a personal tower.

    Args:
        base: The tower that it began from; its repository is copied, but for a plan of its graph
            and the scale of its means, which are no longer true.
        graph: Served in place of the base's.
        output: The folder to write, whole or not at all.

    Returns:
        The description of the tower.

    Raises:
        WeightsError: The base's configurations do not describe its tower.
    """
    data = graph.SerializeToString()
    said = {key: value for key, value in json.loads(base.tower.text).items() if key not in _SCALE}
    said["version"] = f"{base.tower.version}+{_PERSONAL}"
    said["sha256"] = hashlib.sha256(data).hexdigest()
    text = json.dumps(said, indent=2, ensure_ascii=False) + "\n"
    tower = Tower.parse(text, origin="the personal tower")
    before, after = (config_parameter(base.place.version, each) for each in (base.tower, tower))
    with write_atomically(output) as partial:
        shutil.copytree(
            base.repository,
            partial,
            ignore=shutil.ignore_patterns(PLAN_FILE, _CARD, "__pycache__"),
        )
        folder = partial / base.place.folder
        (folder / ONNX_FILE).write_bytes(data)
        described = 0
        for config in sorted(partial.glob("*/**/*.pbtxt")):
            content = config.read_text(encoding="utf-8")
            described += before in content
            config.write_text(content.replace(before, after), encoding="utf-8")
        if not described:
            raise WeightsError(
                f"no configuration in {base.repository} describes the tower that lies there; write "
                f"it again with: iq-tools repository --onnx {base.graph}"
            )
        (folder / TOWER_FILE).write_text(text, encoding="utf-8")
    return tower
