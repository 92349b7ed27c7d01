"""Shards scored by tasks of a real Ray cluster of two nodes on this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.client.bulk.conftest import MakePhotos, assert_whole, job, rows
from tests.client.faulty import FaultyServer

from iq_client import Client, LocalServer
from iq_client.bulk.drivers import Job, ShardFailure
from iq_client.bulk.manifest import Manifest, plan
from iq_client.bulk.shard import ShardResult
from iq_client.bulk.store import Folder
from iq_client.images.inputs import InputOptions

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    # Ray leaves sockets and files to be closed by the interpreter.
    pytest.mark.filterwarnings("ignore"),
]


HEAD = {"num_cpus": 4, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes, of which the last test kills one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        import ray
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args=HEAD)
        cluster.add_node(num_cpus=4)
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False)
        try:
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()


@pytest.fixture
def paths(make_photos: MakePhotos) -> list[Path]:
    return make_photos(120)


@pytest.fixture
def made(output: Folder, paths: list[Path]) -> Manifest:
    """Twelve shards of ten photos."""
    return plan([str(paths[0].parent)], output, 10)


def test_a_killed_task_costs_nothing(
    cluster: Any, made: Manifest, output: Folder, scoring: FaultyServer, paths: list[Path]
) -> None:
    from iq_client.bulk.drivers.ray import score_on_ray

    killed: list[int] = []

    def kill(number: int, request: Any, context: Any) -> None:
        if number == 3:
            for status in Path("/proc").glob("[0-9]*/cmdline"):
                pid = int(status.parent.name)
                if _is_task_of(cluster, pid):
                    killed.append(pid)
                    os.kill(pid, signal.SIGKILL)

    scoring.fault = kill
    outcomes = list(score_on_ray(job(output, scoring.url), made.shards, workers=3))
    assert killed
    assert [type(outcome) for outcome in outcomes] == [ShardResult] * 12
    assert_whole(output, made, paths)


def test_every_node_starts_one_server(
    cluster: Any, made: Manifest, output: Folder, stub_repository: Path, stub_server: LocalServer
) -> None:
    from iq_client.bulk.drivers.ray import score_on_ray

    given = Job(
        output=output.url, tower=None, urls=(), model_repository=stub_repository,
        client={"batch_size": 4}, inputs=InputOptions(),
    )  # fmt: skip
    outcomes = list(score_on_ray(given, made.shards))
    assert not [outcome for outcome in outcomes if isinstance(outcome, ShardFailure)], outcomes
    with Client(stub_server.url) as client:
        expected = {score.source: score.mean for score in client.iter_scores(made.inputs[0])}
    found = rows(output, made)
    assert [row["id"] for row in found] == list(expected)
    assert [row["mean"] for row in found] == pytest.approx(list(expected.values()))
    assert len(set(expected.values())) > 3


def test_a_killed_node_costs_nothing(
    cluster: Any, made: Manifest, output: Folder, scoring: FaultyServer, paths: list[Path]
) -> None:
    from iq_client.bulk.drivers.ray import score_on_ray

    killed = False

    def kill(number: int, request: Any, context: Any) -> None:
        nonlocal killed
        if number == 6:
            killed = True
            (node,) = cluster.worker_nodes
            (raylet,) = node.all_processes["raylet"]
            os.kill(raylet.process.pid, signal.SIGKILL)

    scoring.fault = kill
    outcomes = list(score_on_ray(job(output, scoring.url), made.shards))
    assert killed
    assert [type(outcome) for outcome in outcomes] == [ShardResult] * 12
    assert_whole(output, made, paths)


def _is_task_of(cluster: Any, pid: int) -> bool:
    """True where a process is a busy worker below one of the cluster's raylets."""
    raylets = {
        process.process.pid
        for node in cluster.list_all_nodes()
        for process in node.all_processes.get("raylet", [])
    }
    try:
        name = Path(f"/proc/{pid}/cmdline").read_bytes()
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return False
    return name.startswith(b"ray::_score_shard") and parent in raylets
