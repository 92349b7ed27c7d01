"""Shards that wait for a worker."""

from __future__ import annotations

import pickle

import pytest
from tests.client.bulk.conftest import job

from iq_client.bulk.drivers import TRIES, Queue, ShardFailure
from iq_client.bulk.manifest import Shard
from iq_client.bulk.shard import ShardResult
from iq_client.bulk.store import Folder
from iq_client.errors import BulkError

SHARDS = [Shard(str(number), "tar", "x.tar") for number in range(3)]


def test_shards_are_taken_in_order_and_failed_ones_later() -> None:
    queue = Queue(SHARDS)
    first = queue.take()
    assert first == SHARDS[0]
    assert queue.returned(first, ShardFailure("0", "no")) is None
    assert [queue.take() for _ in range(4)] == [SHARDS[1], SHARDS[2], SHARDS[0], None]
    done = ShardResult("0", 1)
    assert queue.returned(first, done) is done


def test_a_shard_is_given_up_after_some_tries() -> None:
    queue = Queue(SHARDS[:1])
    failure = ShardFailure("0", "no")
    for number in range(TRIES):
        shard = queue.take()
        assert shard == SHARDS[0]
        assert queue.returned(shard, failure) is (failure if number == TRIES - 1 else None)
    assert queue.take() is None


def test_a_final_failure_ends_the_run() -> None:
    with pytest.raises(BulkError, match="disk full"):
        Queue(SHARDS).returned(SHARDS[0], ShardFailure("0", "disk full", final=True))


def test_a_job_can_be_sent(output: Folder) -> None:
    given = job(output, "localhost:1")
    assert pickle.loads(pickle.dumps(given)) == given
