"""The places of things in a model repository: its ensembles, and the versions of their towers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .contract import ENSEMBLE_MODEL, TOWER_MODEL, VERSION, ContractError

# As the template of the ensemble's configuration writes it.
_SERVED: Final = re.compile(r"specific { versions: \[ (\d+) \] }")


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a tower in a repository.

    Attributes:
        ensemble: Name that clients ask for; the steps are called after it.
        version: Number of the tower's version, and of the ensemble's that asks it.
    """

    ensemble: str = ENSEMBLE_MODEL
    version: int = int(VERSION)

    def model(self, usual: str) -> str:
        """The name here of a model that is `usual` in the ensemble `nima`."""
        return self.ensemble + usual.removeprefix(ENSEMBLE_MODEL)

    @property
    def folder(self) -> Path:
        """The tower's version folder, relative to the repository."""
        return Path(self.model(TOWER_MODEL), str(self.version))


def served_place(repository: Path, ensemble: str = ENSEMBLE_MODEL) -> Place:
    """The version of an ensemble's tower that Triton serves: the one written last.

    Args:
        repository: The model repository.
        ensemble: Name of the ensemble.

    Returns:
        Its place; that of the first version where there is no such ensemble yet.

    Raises:
        ContractError: The ensemble's configuration names no version.
    """
    config = repository / ensemble / "config.pbtxt"
    if not config.is_file():
        return Place(ensemble)
    found = _SERVED.search(config.read_text(encoding="utf-8"))
    if found is None:
        raise ContractError(
            f"{config} does not say which version of the tower is served: write the repository "
            f"again with: iq-tools repository --onnx FILE"
        )
    return Place(ensemble, int(found[1]))


def ensembles(repository: Path) -> list[str]:
    """The names of the ensembles in a model repository, in their order."""
    suffix = TOWER_MODEL.removeprefix(ENSEMBLE_MODEL)
    return sorted(
        path.parent.name.removesuffix(suffix) for path in repository.glob(f"*{suffix}/config.pbtxt")
    )
