"""The core of both clients: order, reading ahead, divided batches, cancellation."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
from tests.client.fakes import FakeTransport, HoldingTransport
from tests.client.faulty import FaultyServer

from iq_client import AsyncClient, Call, Client, ConnectError, RequestFailed, Score, Source
from iq_client.engine import chunks


def test_leaving_early_cancels_what_is_under_way() -> None:
    transport = HoldingTransport()
    with Client(transport=transport, batch_size=1, in_flight=2) as client:
        scores = client.iter_scores([b"1", *[b""] * 100])
        assert next(scores).ok
        scores.close()  # type: ignore[attr-defined]
        # All workers are free again: nobody lets go of the batches that are held.
        assert client.score_images(b"2")[0].ok
    assert transport.batches < 10


def test_what_a_transport_says_of_a_batch_is_said_of_its_images() -> None:
    class Failing(FakeTransport):
        def score(self, images: Sequence[bytes], names: Sequence[str], call: Call) -> list[Score]:
            if b"bad" in images:
                raise RequestFailed("INTERNAL", "it broke", divisible=True)
            return super().score(images, names, call)

    with Client(transport=Failing()) as client:
        scores = client.score_images([b"1", b"2", b"bad", b"4"])
    assert [score.error and str(score.error) for score in scores] == [
        *(None, None),
        "INTERNAL: it broke",
        None,
    ]


def test_an_endless_iterable_is_read_some_batches_ahead() -> None:
    read = itertools.count()
    with Client(transport=FakeTransport(), batch_size=4, in_flight=2) as client:
        scores = client.iter_scores(str(i).encode() for i in read)
        for _ in range(10):
            assert next(scores).ok
        scores.close()  # type: ignore[attr-defined]
        # Ten taken, and no more ahead than two requests in flight, two being read, one at hand.
        assert next(read) <= 10 + 4 * 6


def test_the_batch_size_of_the_transport_is_respected() -> None:
    sizes: list[int] = []

    class Small(FakeTransport):
        def check(self, timeout: float | None) -> int:
            return 5

        def score(self, images: Sequence[bytes], names: Sequence[str], call: Call) -> list[Score]:
            sizes.append(len(images))
            return super().score(images, names, call)

    with Client(transport=Small(), batch_size=1000) as client:
        scores = client.score_images([b"x" * size for size in range(23)])
    assert [score.mean for score in scores] == [1.0 + size % 9 for size in range(23)]
    assert sorted(sizes) == [3, 5, 5, 5, 5]


def test_chunks_are_neighbours() -> None:
    given = [Source(str(index), bytes) for index in range(7)]
    assert list(chunks(given, 3, 1000)) == [given[:3], given[3:6], given[6:]]
    assert list(chunks([], 3, 1000)) == []


def test_a_chunk_of_large_files_is_one_request(tmp_path: Path) -> None:
    sizes = (40, 40, 40, 200, 10, 10)
    given = []
    for number, size in enumerate(sizes):
        path = tmp_path / str(number)
        path.write_bytes(bytes(size))
        given.append(Source(str(path), path.read_bytes, is_file=True))
    gone = Source(str(tmp_path / "gone"), bytes, is_file=True)
    expected = [given[:2], given[2:3], given[3:4], [*given[4:], gone]]
    assert list(chunks([*given, gone], 4, 100)) == expected


def test_a_full_chunk_is_given_before_another_source_is_asked_for() -> None:
    def sources() -> Iterator[Source]:
        yield from (Source(str(index), bytes) for index in range(2))
        raise AssertionError("read too far")

    assert len(next(chunks(sources(), 2, 1000))) == 2


@pytest.mark.parametrize("size", [0, -3])
def test_a_model_without_batches_gets_images_one_by_one(size: int) -> None:
    sizes: list[int] = []

    class Unbatched(FakeTransport):
        def check(self, timeout: float | None) -> int:
            return size

        def score(self, images: Sequence[bytes], names: Sequence[str], call: Call) -> list[Score]:
            sizes.append(len(images))
            return super().score(images, names, call)

    with Client(transport=Unbatched()) as client:
        assert all(score.ok for score in client.score_images([b"1", b"2", b"3"]))
    assert sizes == [1, 1, 1]


def test_a_client_that_was_closed_says_so(faulty: FaultyServer) -> None:
    fresh, used = Client(faulty.url), Client(faulty.url)
    assert used.score_images(b"x")[0].ok
    for client in (fresh, used):
        client.close()
        client.close()
        for call in (
            lambda client=client: client.score_images(b"x"),
            lambda client=client: list(client.iter_scores([])),
            lambda client=client: client.compare(b"x", b"y"),
            client.server_info,
            client.wait_until_ready,
        ):
            with pytest.raises(ConnectError, match="was closed: make another one"):
                call()


async def _closed(url: str) -> None:
    client = AsyncClient(url)
    await client.close()
    with pytest.raises(ConnectError, match="was closed: make another one"):
        await client.score_images(b"x")
    with pytest.raises(ConnectError, match="was closed: make another one"):
        await client.server_info()


def test_an_asynchronous_client_that_was_closed_says_so(faulty: FaultyServer) -> None:
    asyncio.run(_closed(faulty.url))


def test_a_client_that_is_closed_in_the_middle_of_a_call_ends_it() -> None:
    transport = FakeTransport()
    client = Client(transport=transport, batch_size=1, in_flight=1)

    def photos() -> Iterator[bytes]:
        yield b"1"
        client.close()
        yield b"2"

    with pytest.raises((ConnectError, CancelledError)):
        client.score_images(photos())


FORKING = """
import os, sys
from iq_client import Client, ConnectError

used, fresh = Client(sys.argv[1]), Client(sys.argv[1])
assert used.score_images(b"x")[0].ok
child = os.fork()
if not child:
    for client in (used, fresh):
        for call in (lambda: client.score_images(b"x"), client.server_info):
            try:
                call()
            except ConnectError as error:
                assert "before fork()" in str(error), error
            else:
                os._exit(1)
        client.close()
    with Client(sys.argv[1]) as own:
        os._exit(0 if own.score_images(b"x")[0].ok else 2)
status = os.waitpid(child, 0)[1]
assert used.score_images(b"x")[0].ok
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_client_says_so_at_once_and_a_new_one_works(faulty: FaultyServer) -> None:
    subprocess.run([sys.executable, "-c", FORKING, faulty.url], check=True)
