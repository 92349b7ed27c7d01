"""Both clients against a real Triton with the stand-in model."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import iq_client
from iq_client import (
    AsyncClient,
    Client,
    ConnectError,
    DeadlineExceeded,
    Group,
    LocalServer,
    Score,
    ScoringError,
    ServerUnavailable,
)
from iq_client.ranking import probability_better

Mean = Callable[[bytes], float]


def test_the_public_surface() -> None:
    assert sorted(iq_client.__all__) == sorted(
        name
        for name, value in vars(iq_client).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    )


def test_both_clients_have_the_same_surface() -> None:
    def surface(client: type) -> dict[str, list[tuple[str, Any, Any]]]:
        return {
            name: [
                (parameter.name, parameter.kind, parameter.default)
                for parameter in inspect.signature(member).parameters.values()
            ]
            for name, member in inspect.getmembers(client, inspect.isfunction)
            if not name.startswith("_") or name == "__init__"
        }

    assert surface(AsyncClient) == surface(Client)
    public = {name for name in surface(Client) if not name.startswith("_")}
    for name in public:
        waits = getattr(AsyncClient, name)
        assert inspect.iscoroutinefunction(waits) or inspect.isasyncgenfunction(waits)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    images=st.lists(st.binary(max_size=40), max_size=40),
    batch_size=st.integers(1, 70),
    max_request_bytes=st.integers(1, 200),
    in_flight=st.none() | st.integers(1, 5),
)
def test_every_image_its_score_in_order(
    stub_server: LocalServer,
    stub_mean: Mean,
    images: list[bytes],
    batch_size: int,
    max_request_bytes: int,
    in_flight: int | None,
) -> None:
    with Client(
        stub_server.url,
        batch_size=batch_size,
        max_request_bytes=max_request_bytes,
        in_flight=in_flight,
    ) as client:
        scores = client.score_images(images)
    assert [score.source for score in scores] == [f"image[{i}]" for i in range(len(images))]
    for score, data in zip(scores, images, strict=True):
        if data:
            assert score.mean == pytest.approx(stub_mean(data), abs=1e-5)
            assert sum(score.distribution) == pytest.approx(1, abs=1e-5)
        else:
            assert score.error is not None and score.error.code == "EMPTY"


def test_failed_images_do_not_cost_their_neighbours(
    stub_client: Client, stub_mean: Mean, tmp_path: Path
) -> None:
    items: list[Any] = [b"a", b"corrupt", tmp_path / "nothing.jpg", 5, b"", b"b"]
    scores = stub_client.score_images(items)
    codes = [score.error.code if score.error else None for score in scores]
    assert codes == [None, "UNREADABLE", "NOT_FOUND", "BAD_INPUT", "EMPTY", None]
    assert scores[0].mean == pytest.approx(stub_mean(b"a"), abs=1e-5)
    assert scores[5].mean == pytest.approx(stub_mean(b"b"), abs=1e-5)
    with pytest.raises(ScoringError, match=r"image\[1\]: UNREADABLE") as caught:
        stub_client.score_images(items, raise_on_error=True)
    assert caught.value.score == scores[1] or caught.value.score.source == "image[1]"


def test_nothing_is_fine(stub_client: Client, tmp_path: Path) -> None:
    assert stub_client.score_images([]) == []
    assert stub_client.score_images(tmp_path) == []
    assert stub_client.rank_images([]) == []


def test_a_folder_is_ranked(stub_client: Client, stub_mean: Mean, tmp_path: Path) -> None:
    contents = {str(tmp_path / f"{i}.jpg"): f"photo {i}".encode() for i in range(30)}
    for name, data in contents.items():
        Path(name).write_bytes(data)
    (tmp_path / "broken.jpg").write_bytes(b"corrupt")
    rows = stub_client.rank_images(tmp_path)
    expected = sorted(contents, key=lambda name: stub_mean(contents[name]), reverse=True)
    assert [row.score.source for row in rows] == [*expected, str(tmp_path / "broken.jpg")]
    assert rows[-1].rank is None
    assert stub_client.rank_images(tmp_path, top=3) == rows[:3]
    by_bound = stub_client.rank_images(tmp_path, key="lower_bound")[:-1]
    bounds = [row.score.mean - row.score.std for row in by_bound]
    assert bounds == sorted(bounds, reverse=True)


def test_groups(stub_server: LocalServer, tmp_path: Path) -> None:
    pytest.importorskip("imagehash")
    noise = np.random.default_rng(0)
    pictures = [
        Image.fromarray(noise.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((160, 160))
        for _ in range(3)
    ]
    for number, picture in enumerate(pictures):
        for quality in (30, 60, 90):
            picture.save(tmp_path / f"{number}_{quality}.jpg", quality=quality)
    (tmp_path / "9_broken.jpg").write_bytes(b"corrupt")

    def together(groups: list[Group]) -> set[frozenset[str]]:
        return {
            frozenset(Path(row.score.source).name[0] for row in group.images) for group in groups
        }

    with Client(stub_server.url, batch_size=2) as client:
        # A file object can be read once only: for the score and for the fingerprint.
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(path.open("rb")) for path in sorted(tmp_path.iterdir())]
            groups = client.rank_groups(files)
        everything = client.rank_groups(tmp_path, grouping=lambda prints: [0] * len(prints))
        ranking = client.rank_images(tmp_path)
    assert [len(group.images) for group in groups] == [3, 3, 3, 1]
    assert together(groups) == {frozenset("0"), frozenset("1"), frozenset("2"), frozenset("9")}
    best = [group.best.score.mean for group in groups[:3]]
    assert best == sorted(best, reverse=True)
    assert everything == [Group(tuple(ranking))]

    async def twin() -> list[Group]:
        async with AsyncClient(stub_server.url, batch_size=2) as client:
            return await client.rank_groups(tmp_path)

    assert asyncio.run(twin()) == groups


def test_scores_are_told_in_order(stub_client: Client) -> None:
    told: list[Score] = []
    scores = stub_client.score_images([str(i).encode() for i in range(50)], on_score=told.append)
    assert told == scores


def test_comparison(stub_client: Client) -> None:
    a, b = stub_client.score_images([b"a", b"b"])
    assert stub_client.compare(b"a", b"b") == probability_better(a, b)
    with pytest.raises(ScoringError):
        stub_client.compare(b"a", b"")


def test_an_endless_iterable_is_read_some_batches_ahead(stub_server: LocalServer) -> None:
    read = itertools.count()
    with Client(stub_server.url, batch_size=4, in_flight=2) as client:
        scores = client.iter_scores(str(i).encode() for i in read)
        for _ in range(10):
            assert next(scores).ok
        scores.close()  # type: ignore[attr-defined]
        # Ten taken, and no more ahead than two requests in flight, two being read, one at hand.
        assert next(read) <= 10 + 4 * 6


def test_an_iterable_that_raises_ends_the_call(stub_client: Client) -> None:
    def images() -> Iterator[bytes]:
        yield from (b"1", b"2")
        raise LookupError("the database is gone")

    with pytest.raises(LookupError, match="gone"):
        stub_client.score_images(images())
    assert stub_client.score_images(b"3")[0].ok


def test_leaving_early_cancels_what_is_under_way(stub_server: LocalServer) -> None:
    with Client(stub_server.url, batch_size=1, in_flight=2) as client:
        scores = client.iter_scores([b"1", *[b"sleep:0.5:x"] * 100])
        assert next(scores).ok
        scores.close()  # type: ignore[attr-defined]
        # All workers are free again long before the fifty seconds that the rest would take.
        assert client._engine._pool.submit(lambda: True).result(timeout=10)


def test_several_threads_share_a_client(stub_server: LocalServer, stub_mean: Mean) -> None:
    results: dict[int, list[Score]] = {}
    with Client(stub_server.url, batch_size=3) as client:

        def work(number: int) -> None:
            results[number] = client.score_images(f"{number}/{i}".encode() for i in range(100))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number in range(6):
        assert [score.mean for score in results[number]] == pytest.approx(
            [stub_mean(f"{number}/{i}".encode()) for i in range(100)], abs=1e-5
        )


def test_the_batch_size_of_the_server_is_respected(stub_server: LocalServer) -> None:
    with Client(stub_server.url, batch_size=1000) as client:
        assert all(score.ok for score in client.score_images([b"x"] * 300))


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_compression(stub_server: LocalServer, stub_mean: Mean, compression: Any) -> None:
    data = b"abc" * 100_000
    with Client(stub_server.url, compression=compression) as client:
        assert client.score_images(data)[0].mean == pytest.approx(stub_mean(data), abs=1e-5)


def test_a_large_image(stub_server: LocalServer, stub_mean: Mean) -> None:
    data = bytes(80 * 2**20)
    with Client(stub_server.url) as client:
        scores = client.score_images([b"1", data, b"2"])
    assert [score.mean for score in scores] == pytest.approx(
        [stub_mean(b"1"), stub_mean(data), stub_mean(b"2")], abs=1e-5
    )


def test_server_info(stub_client: Client, stub_server: LocalServer) -> None:
    info = stub_client.server_info()
    assert info.url == stub_server.url
    assert (info.server_name, info.model_name, info.model_versions) == ("triton", "nima", ("1",))
    assert info.max_batch_size == 64
    assert info.to_dict()["server_version"] == info.server_version


def test_the_url_of_the_environment(
    stub_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IQ_URL", f"{stub_server.url} {stub_server.url}")
    with Client() as client:
        assert client.urls == [stub_server.url] * 2
        assert client.score_images(b"x")[0].ok
    monkeypatch.delenv("IQ_URL")
    with Client() as client:
        assert client.urls == ["localhost:8001"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"max_request_bytes": 0},
        {"max_request_bytes": 2**31},
        {"in_flight": 0},
        {"timeout": 0},
        {"deadline": -1.0},
        {"shrink_to": 0},
        {"array_encoding": "jpeg"},
        {"url": []},
    ],
)
def test_options_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).replace("url", "URL")):
        Client(**wrong)


def test_nobody_answers() -> None:
    with Client("127.0.0.1:9") as client:
        with pytest.raises(ServerUnavailable, match="iq-client serve"):
            client.score_images(b"x")
        with pytest.raises(ConnectError):
            client.server_info()
        with pytest.raises(DeadlineExceeded, match="not ready after"):
            client.wait_until_ready(0.3)


def test_waiting_for_a_server_that_comes_later(stub_repository: Path) -> None:
    server = LocalServer(stub_repository)
    server.start()
    url = server.url
    server.stop()
    with Client(url) as client:
        starting = threading.Timer(0.5, server.start)
        starting.start()
        try:
            client.wait_until_ready(30)
            assert client.score_images(b"x")[0].ok
        finally:
            starting.join()
            server.stop()


def test_asynchronously(stub_server: LocalServer, stub_mean: Mean, tmp_path: Path) -> None:
    for i in range(20):
        (tmp_path / f"{i}.jpg").write_bytes(f"photo {i}".encode())

    async def images() -> AsyncIterator[Any]:
        for i in range(50):
            await asyncio.sleep(0)
            yield f"{i}".encode()
        yield tmp_path

    async def scenario() -> None:
        async with AsyncClient(stub_server.url, batch_size=7) as client:
            await client.wait_until_ready()
            expected = [stub_mean(f"{i}".encode()) for i in range(50)]
            folder = [stub_mean(path.read_bytes()) for path in sorted(tmp_path.iterdir())]
            scores = await client.score_images(images())
            assert [score.mean for score in scores] == pytest.approx(expected + folder, abs=1e-5)
            assert [score async for score in client.iter_scores(images())] == scores
            several = await asyncio.gather(
                *(client.score_images(f"{i}".encode()) for i in range(50))
            )
            assert [score.mean for (score,) in several] == pytest.approx(expected, abs=1e-5)
            with Client(stub_server.url) as twin:
                assert await client.rank_images(tmp_path, top=5) == twin.rank_images(
                    tmp_path, top=5
                )
                assert await client.compare(b"a", b"b") == twin.compare(b"a", b"b")
                assert await client.server_info() == twin.server_info()
            with pytest.raises(ScoringError):
                await client.score_images(b"", raise_on_error=True)

    asyncio.run(scenario())


def test_the_event_loop_is_never_held_up(stub_server: LocalServer) -> None:
    async def scenario() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1

        async with AsyncClient(stub_server.url, batch_size=1, in_flight=1) as client:
            counting = asyncio.create_task(count())
            await client.score_images([b"sleep:0.4:x"] * 3)
            counting.cancel()
        return turns

    assert asyncio.run(scenario()) > 20


def test_a_cancelled_task_cancels_its_requests(stub_server: LocalServer) -> None:
    async def scenario() -> None:
        async with AsyncClient(stub_server.url, batch_size=1, in_flight=1) as client:
            await client.score_images(b"1")
            task = asyncio.create_task(client.score_images([b"sleep:1:x"] * 20))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(10):
                assert (await client.score_images(b"2"))[0].ok

    asyncio.run(scenario())


def test_importing_loads_nothing_heavy() -> None:
    """Seconds of gRPC, protobuf, numpy and Pillow are spent where they are used first."""
    heavy = {"grpc", "numpy", "PIL", "tritonclient", "google", "click", "rich"}
    program = f"import sys, iq_client; print(*({heavy!r} & sys.modules.keys()))"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == []
