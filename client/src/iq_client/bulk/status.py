"""The state of an output folder, from the metadata of its files."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from iq_client.bulk import manifest
from iq_client.bulk.shard import read_finished
from iq_client.bulk.store import Folder
from iq_client.bulk.tower import pinned_tower
from iq_client.errors import BulkError
from iq_client.results import TowerIdentity

_THREADS: Final = 16  # that wait for an object store


@dataclass(frozen=True, slots=True)
class Status:
    """The state of an output folder.

    Attributes:
        inputs: The inputs of the run.
        shards: Count of all shards.
        done: Count of shards whose file is there.
        planned: Count of all photos; None where only reading them tells.
        rows: Count of photos in the files.
        errors: Count of those without a score, by code.
        missing: Names of shards without a file.
        tower: The network that the scores are of.
    """

    inputs: tuple[str, ...]
    shards: int
    done: int
    planned: int | None
    rows: int
    errors: dict[str, int]
    missing: tuple[str, ...]
    tower: TowerIdentity | None


def status(output: Folder) -> Status:
    """The state of an output folder.

    Raises:
        BulkError: It has no manifest, or a file cannot be read.
    """
    plan = manifest.load(output)
    if plan is None:
        raise BulkError(f"{output.url} holds no bulk run: there is no {manifest.FILE}")
    there = output.names()
    done = [shard for shard in plan.shards if shard.file in there]
    rows, errors = 0, Counter[str]()
    with ThreadPoolExecutor(_THREADS) as pool:
        for finished in pool.map(lambda shard: read_finished(output, shard.file), done):
            if finished is not None:
                rows += finished.rows
                errors.update(finished.errors)
    return Status(
        inputs=plan.inputs,
        shards=len(plan.shards),
        done=len(done),
        planned=plan.rows,
        rows=rows,
        errors=dict(sorted(errors.items())),
        missing=tuple(shard.name for shard in plan.shards if shard.file not in there),
        tower=pinned_tower(output),
    )
