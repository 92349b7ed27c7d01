"""Drivers of a bulk run: each gives shards to workers, and tells what became of them.

A driver is a function of a job and shards that yields one `Outcome` a shard. It keeps nothing: a
shard is done when its file is there.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from iq_client.bulk.manifest import Shard
from iq_client.bulk.shard import ShardResult, score_shard
from iq_client.bulk.store import open_folder
from iq_client.client import Client
from iq_client.errors import BulkError
from iq_client.images.inputs import InputOptions
from iq_client.results import TowerIdentity

TRIES: Final = 3  # of one shard: a photo may kill whatever reads it


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that a worker has to know, to be sent to it.

    Attributes:
        output: Address of the folder of the run.
        tower: The network that all scores are of.
        urls: The servers; none where each node starts its own.
        model_repository: The models of such a server.
        client: Options of `Client`.
        inputs: Choices in how addresses are read.
        retry_errors: Whether photos without a score are scored again.
    """

    output: str
    tower: TowerIdentity | None
    urls: tuple[str, ...]
    model_repository: Path | None
    client: Mapping[str, Any]
    inputs: InputOptions
    retry_errors: bool = False


@dataclass(frozen=True, slots=True)
class ShardFailure:
    """A try of a shard that brought no file.

    Attributes:
        name: The shard's.
        message: One sentence for people.
        final: Whether the run cannot go on.
    """

    name: str
    message: str
    final: bool = False


Outcome: TypeAlias = ShardResult | ShardFailure


class Worker:
    """One process that scores shards; it holds one client."""

    def __init__(self, job: Job, urls: tuple[str, ...]) -> None:
        """Opens the output and the client.

        Args:
            job: The job.
            urls: The servers, on this node or elsewhere.
        """
        self._job = job
        self._output = open_folder(job.output)
        self._client = Client(urls, **job.client)

    def score(self, shard: Shard) -> Outcome:
        """Scores a shard; what goes wrong is told in the outcome."""
        try:
            return score_shard(
                shard,
                self._output,
                self._client,
                self._job.tower,
                inputs=self._job.inputs,
                retry_errors=self._job.retry_errors,
            )
        except BulkError as error:
            return ShardFailure(shard.name, str(error), final=True)
        except Exception as error:  # the worker has other shards to score
            return ShardFailure(shard.name, str(error) or type(error).__name__)

    def close(self) -> None:
        """Ends the client."""
        self._client.close()


class Queue:
    """Shards that wait for a worker, those that failed once more behind the others."""

    def __init__(self, shards: Iterable[Shard]) -> None:
        self._shards = iter(shards)
        self._again: deque[Shard] = deque()
        self._tries: Counter[str] = Counter()

    def take(self) -> Shard | None:
        """The next shard, None where none waits."""
        shard = next(self._shards, None)
        if shard is None and self._again:
            shard = self._again.popleft()
        return shard

    def returned(self, shard: Shard, outcome: Outcome) -> Outcome | None:
        """The outcome of a try where it is the last one; None where there will be another.

        Raises:
            BulkError: The run cannot go on.
        """
        if isinstance(outcome, ShardResult):
            return outcome
        if outcome.final:
            raise BulkError(outcome.message)
        self._tries[shard.name] += 1
        if self._tries[shard.name] < TRIES:
            self._again.append(shard)
            return None
        return outcome
