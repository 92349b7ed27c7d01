"""The one tower that all scores of an output folder are of."""

from __future__ import annotations

import json
from typing import Final

from iq_client.bulk.store import Folder
from iq_client.errors import BulkError
from iq_client.results import TowerIdentity

FILE: Final = "_tower.json"


def pin_tower(output: Folder, tower: TowerIdentity | None) -> None:
    """Makes a tower that of an output folder; the first to come decides.

    Args:
        output: The folder of the run.
        tower: The server's; None where it does not say.

    Raises:
        BulkError: The folder is another one's, or cannot be written.
    """
    text = json.dumps(None if tower is None else tower.to_dict(), indent=1)
    if not output.create(FILE, text.encode()):
        check_tower(f"{output.url} has", pinned_tower(output), tower)


def pinned_tower(output: Folder) -> TowerIdentity | None:
    """The tower of an output folder; None where there is none yet, or it has no name.

    Raises:
        BulkError: It cannot be read.
    """
    data = output.read(FILE)
    if data is None:
        return None
    try:
        return None if json.loads(data) is None else TowerIdentity.parse(data.decode())
    except ValueError as error:
        raise BulkError(f"{output.url}/{FILE}: {error}") from error


def check_tower(what: str, found: TowerIdentity | None, wanted: TowerIdentity | None) -> None:
    """Makes sure that scores are of the tower that they are to stand beside.

    Args:
        what: Subject and verb of the sentence for people.
        found: The tower of these scores.
        wanted: That of the others.

    Raises:
        BulkError: They are of another one.
    """
    if in_words(found) != in_words(wanted):
        raise BulkError(
            f"{what} scores of {in_words(found)}, the server has {in_words(wanted)}: name "
            f"another --output"
        )


def in_words(tower: TowerIdentity | None) -> str:
    """A tower for people, such that two differ where their words do."""
    if tower is None:
        return "a tower that is not named"
    return (
        f"the tower {tower.label} (version {tower.version}, preprocessing "
        f"{tower.preprocessing_version})"
    )
