"""The places of things in a model repository: its ensembles, and the versions of their towers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iq_serving.contract import ENSEMBLE_MODEL, TOWER_MODEL, VERSION


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a tower in a repository.

    Attributes:
        ensemble: Name that clients ask for; the steps are called after it.
        version: Number of the tower's version; the highest is served.
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
    """The version of an ensemble's tower that Triton serves: the highest.

    Args:
        repository: The model repository.
        ensemble: Name of the ensemble.

    Returns:
        Its place; that of the first version where there is none yet.
    """
    folder = repository / Place(ensemble).folder.parent
    versions = [int(path.name) for path in folder.glob("*") if path.name.isdecimal()]
    return Place(ensemble, max(versions, default=int(VERSION)))


def ensembles(repository: Path) -> list[str]:
    """The names of the ensembles in a model repository, in their order."""
    suffix = TOWER_MODEL.removeprefix(ENSEMBLE_MODEL)
    return sorted(
        path.parent.name.removesuffix(suffix) for path in repository.glob(f"*{suffix}/config.pbtxt")
    )
