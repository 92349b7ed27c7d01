"""Shards scored by processes of this machine, some of which are killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.client.bulk.conftest import (
    MakePhotos,
    ServerProcess,
    assert_whole,
    job,
    rows,
    workers_of,
)
from tests.client.conftest import Mean
from tests.client.faulty import PATIENT, FaultyServer, until_cancelled

from iq_client import LocalServer
from iq_client.bulk.drivers import TRIES, ShardFailure
from iq_client.bulk.drivers.local import score_locally
from iq_client.bulk.manifest import Manifest, plan
from iq_client.bulk.shard import ShardResult
from iq_client.bulk.store import Folder
from iq_client.errors import BulkError

pytestmark = pytest.mark.slow  # workers take seconds to start


@pytest.fixture(autouse=True)
def no_process_stays() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


@pytest.fixture
def paths(make_photos: MakePhotos) -> list[Path]:
    return make_photos(60)


@pytest.fixture
def made(output: Folder, paths: list[Path]) -> Manifest:
    """Six shards of ten photos."""
    return plan([str(paths[0].parent)], output, 10)


def test_every_shard_is_scored(
    made: Manifest, output: Folder, scoring: FaultyServer, paths: list[Path]
) -> None:
    outcomes = list(score_locally(job(output, scoring.url), made.shards, workers=2))
    assert {outcome.name for outcome in outcomes} == {shard.name for shard in made.shards}
    assert all(isinstance(each, ShardResult) and each.scored == 10 for each in outcomes)
    assert_whole(output, made, paths)
    again = list(score_locally(job(output, scoring.url), made.shards, workers=1))
    assert all(isinstance(each, ShardResult) and each.scored == 0 for each in again)


def test_a_killed_worker_costs_nothing(
    made: Manifest, output: Folder, scoring: FaultyServer, paths: list[Path]
) -> None:
    killed: list[int] = []

    def kill(number: int, request: Any, context: Any) -> None:
        if number == 4:
            killed.extend(workers_of(os.getpid()))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            until_cancelled(context)

    scoring.fault = kill
    outcomes = list(score_locally(job(output, scoring.url), made.shards, workers=2))
    assert killed
    assert [type(outcome) for outcome in outcomes] == [ShardResult] * 6
    assert_whole(output, made, paths)


def test_a_shard_that_kills_its_workers_is_given_up(
    made: Manifest, output: Folder, scoring: FaultyServer
) -> None:
    killed: set[int] = set()

    def kill(number: int, request: Any, context: Any) -> None:
        for pid in workers_of(os.getpid()):
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        until_cancelled(context)

    scoring.fault = kill
    (outcome,) = score_locally(job(output, scoring.url), made.shards[:1], workers=1)
    assert isinstance(outcome, ShardFailure) and "died with status -9" in outcome.message
    assert len(killed) == TRIES
    assert output.read(made.shards[0].file) is None


def test_a_shard_that_cannot_be_read_leaves_the_others(
    made: Manifest, output: Folder, scoring: FaultyServer
) -> None:
    Path(output.join(made.shards[2].path)).unlink()
    outcomes = list(score_locally(job(output, scoring.url), made.shards, workers=1))
    failed = [outcome for outcome in outcomes if isinstance(outcome, ShardFailure)]
    assert [failure.name for failure in failed] == ["00002"]
    assert len(outcomes) == 6
    assert len(output.names() & {shard.file for shard in made.shards}) == 5


def test_scores_of_another_tower_end_the_run(
    made: Manifest, output: Folder, scoring: FaultyServer
) -> None:
    list(score_locally(job(output, scoring.url), made.shards[:1], workers=1))
    data = output.read(made.shards[0].file)
    assert data is not None
    output.write(made.shards[1].file, data.replace(b'"tiny"', b'"tinx"'))
    with pytest.raises(BulkError, match="has scores of the tower tinx@"):
        list(score_locally(job(output, scoring.url), made.shards, workers=1))


def test_leaving_early_ends_the_workers(
    made: Manifest, output: Folder, scoring: FaultyServer
) -> None:
    with closing(score_locally(job(output, scoring.url), made.shards, workers=2)) as outcomes:
        next(outcomes)
        assert multiprocessing.active_children()


def test_a_killed_server_that_comes_back_costs_nothing(
    made: Manifest,
    output: Folder,
    paths: list[Path],
    start_server: Callable[[float], ServerProcess],
) -> None:
    server = start_server(0.1)
    killed = False
    for outcome in score_locally(job(output, server.url), made.shards, workers=2):
        assert isinstance(outcome, ShardResult) and outcome.errors == {}
        if not killed:
            server.kill()
            killed = True
            server.start_again()
    assert killed
    assert_whole(output, made, paths)


@pytest.mark.slow  # starts a server of its own
def test_a_killed_triton_costs_nothing(
    made: Manifest, output: Folder, paths: list[Path], stub_repository: Path, stub_mean: Mean
) -> None:
    killed: set[int] = set()
    with LocalServer(stub_repository, startup_timeout=300) as server:
        options = {"batch_size": 4, "retry": PATIENT}
        given = replace(job(output, server.url), tower=None, client=options)
        for number, outcome in enumerate(score_locally(given, made.shards, workers=2)):
            assert isinstance(outcome, ShardResult) and outcome.errors == {}
            if number in (0, 3):  # at the second time it is back: only two shards were under way
                killed.add(server.pid)
                os.kill(server.pid, signal.SIGKILL)  # its supervisor starts it again
    assert len(killed) == 2
    found = rows(output, made)
    assert [row["id"] for row in found] == [str(path) for path in paths]
    expected = [stub_mean(path.read_bytes()) for path in paths]
    assert [row["mean"] for row in found] == pytest.approx(expected, abs=1e-5)
    assert len(set(expected)) > 3
