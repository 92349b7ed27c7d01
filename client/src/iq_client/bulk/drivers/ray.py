"""Shards scored by tasks of a Ray cluster."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

from iq_client.bulk.drivers import Job, Outcome, Queue, ShardFailure, Worker
from iq_client.bulk.manifest import Shard
from iq_client.errors import BulkError
from iq_client.local.server import LocalServer


def score_on_ray(
    job: Job, shards: Iterable[Shard], *, workers: int | None = None, address: str | None = None
) -> Generator[Outcome, None, None]:
    """Scores shards by one task each, on whichever nodes have a CPU free.

    A task whose process or node dies is begun again elsewhere. Without `job.urls` every node
    starts one embedded server of its own, which ends with the run.

    Args:
        job: What the tasks have to know.
        shards: In the order in which they are begun.
        workers: Tasks at a time; None for as many as the cluster has CPUs.
        address: Of the cluster; None for the one that Ray finds, or else a new one here. An
            interpreter that is connected already stays so.

    Yields:
        One outcome a shard, as they come.

    Raises:
        BulkError: Ray is not installed or the cluster does not answer, or the run cannot go on.
    """
    ray = _import_ray()
    connected = ray.is_initialized()
    if not connected:
        try:
            ray.init(address=address, log_to_driver=False, logging_level="warning")
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise BulkError(f"cannot use the Ray cluster: {error}") from error
    try:
        yield from _score(ray, job, Queue(shards), workers)
    finally:
        if not connected:
            ray.shutdown()


def _score(ray: Any, job: Job, queue: Queue, workers: int | None) -> Generator[Outcome, None, None]:
    from ray.exceptions import RayError

    servers = ray.remote(num_cpus=0)(_Servers).remote(job.model_repository)
    # Tries are counted by the queue, as those of every driver.
    task = ray.remote(num_cpus=1, max_retries=0)(_score_shard)
    sent = ray.put(job)
    busy: dict[Any, Shard] = {}
    try:
        while True:
            # The cluster may grow: it is asked again each time.
            limit = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
            while len(busy) < limit and (shard := queue.take()) is not None:
                busy[task.remote(sent, shard, servers)] = shard
            if not busy:
                return
            for reference in ray.wait(list(busy))[0]:
                shard = busy.pop(reference)
                try:
                    outcome: Outcome = ray.get(reference)
                except RayError as error:
                    reason = str(error).strip().partition("\n")[0]
                    outcome = ShardFailure(shard.name, f"its task died: {reason}")
                if (last := queue.returned(shard, outcome)) is not None:
                    yield last
    finally:
        for reference in busy:
            ray.cancel(reference, force=True)
        ray.kill(servers)  # and with it the servers that it has started


class _Held:
    """The worker of this process, which Ray uses for one task after another."""

    def __init__(self) -> None:
        self._job: Job | None = None
        self._worker: Worker | None = None

    def score(self, job: Job, shard: Shard, servers: Any) -> Outcome:
        if self._worker is None or self._job != job:
            self.drop()
            self._worker = Worker(job, job.urls or (_node_url(servers),))
            self._job = job
        outcome = self._worker.score(shard)
        if isinstance(outcome, ShardFailure):
            self.drop()  # the server of this node may be at another address by now
        return outcome

    def drop(self) -> None:
        if self._worker is not None:
            self._worker.close()
        self._worker = None


_HELD = _Held()


def _score_shard(job: Job, shard: Shard, servers: Any) -> Outcome:
    return _HELD.score(job, shard, servers)


def _node_url(servers: Any) -> str:
    ray = _import_ray()
    node: str = ray.get_runtime_context().get_node_id()
    url: str = ray.get(servers.url.remote(node))
    return url


class _Servers:
    """The actor that knows the servers of all nodes; what it has started ends with it."""

    def __init__(self, model_repository: Path | None) -> None:
        self._model_repository = model_repository
        self._nodes: dict[str, Any] = {}

    async def url(self, node: str) -> str:
        """The address of a node's server, which the first to ask starts."""
        from ray.exceptions import RayActorError
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        if node not in self._nodes:
            ray = _import_ray()
            here = NodeAffinitySchedulingStrategy(node, soft=False)
            actor = ray.remote(num_cpus=0, scheduling_strategy=here)(_NodeServer)
            self._nodes[node] = actor.remote(self._model_repository)
        try:
            url: str = await self._nodes[node].url.remote()
        except RayActorError:
            del self._nodes[node]  # the next to ask starts another one
            raise
        return url


class _NodeServer:
    """The actor that holds the embedded server of one node."""

    def __init__(self, model_repository: Path | None) -> None:
        self._server = LocalServer(model_repository).start()

    def url(self) -> str:
        """Its address."""
        return self._server.url


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise BulkError("--driver ray needs Ray: pip install 'iq-client[ray]'") from error
    return ray
