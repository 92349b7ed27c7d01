"""Shards scored by processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess, parent_process

from iq_client.bulk.drivers import Job, Outcome, Queue, ShardFailure, Worker
from iq_client.bulk.manifest import Shard

# A fork would share the channels and locks of a client that has been used.
_CONTEXT = multiprocessing.get_context("spawn")


def score_locally(
    job: Job, shards: Iterable[Shard], *, workers: int
) -> Generator[Outcome, None, None]:
    """Scores shards, `workers` of them at a time.

    A worker that dies is replaced and its shard tried again. Workers end with the generator, and
    with the process that runs it.

    Args:
        job: What they have to know; its `urls` are the servers.
        shards: In the order in which they are begun.
        workers: Count of processes.

    Yields:
        One outcome a shard, as they come.

    Raises:
        BulkError: The run cannot go on.
    """
    queue = Queue(shards)
    busy: dict[Connection, _Process] = {}
    idle: list[_Process] = []
    try:
        while True:
            while len(busy) < workers and (shard := queue.take()) is not None:
                process = idle.pop() if idle else _start(job)
                process.give(shard)
                busy[process.connection] = process
            if not busy:
                return
            # A connection is ready when its worker has answered, and when it has died.
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)
                process = busy.pop(connection)
                shard, outcome = process.take()
                if not connection.closed:
                    idle.append(process)
                if (last := queue.returned(shard, outcome)) is not None:
                    yield last
    finally:
        for process in (*busy.values(), *idle):
            process.end()


@dataclass(slots=True)
class _Process:
    """A worker, seen from the driver."""

    process: BaseProcess
    connection: Connection
    shard: Shard | None = None

    def give(self, shard: Shard) -> None:
        self.shard = shard
        with contextlib.suppress(OSError):  # it has died, which `take` will tell
            self.connection.send(shard)

    def take(self) -> tuple[Shard, Outcome]:
        shard, self.shard = self.shard, None
        assert shard is not None
        try:
            outcome: Outcome = self.connection.recv()
        except (EOFError, OSError):
            self.end()
            status = self.process.exitcode
            outcome = ShardFailure(shard.name, f"its worker died with status {status}")
        return shard, outcome

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def _start(job: Job) -> _Process:
    here, there = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_work, args=(job, there), name="iq-bulk", daemon=True)
    resource_tracker.ensure_running()  # where it has to start, it unblocks the signal
    # Ctrl-C is for the driver, which ends its workers: they are born with the signal blocked.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    there.close()
    return _Process(process, here)


def _work(job: Job, connection: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    worker = Worker(job, job.urls)
    while True:
        shard: Shard = connection.recv()
        connection.send(worker.score(shard))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # nobody is left to be told
