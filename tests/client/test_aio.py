"""The asynchronous client: the same surface and results as its twin, and a loop that runs on."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.client.conftest import Mean
from tests.client.fakes import FakeTransport, HoldingTransport

from iq_client import AsyncClient, Client, LocalServer, ScoringError


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
    for name in public - {"with_options"}:  # asks no server
        waits = getattr(AsyncClient, name)
        assert inspect.iscoroutinefunction(waits) or inspect.isasyncgenfunction(waits)


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


def test_groups(tmp_path: Path) -> None:
    pytest.importorskip("imagehash")
    noise = np.random.default_rng(0)
    for index in range(3):
        blocks = Image.fromarray(noise.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        for quality in (60, 90):
            blocks.resize((160, 160)).save(tmp_path / f"{index}_{quality}.jpg", quality=quality)

    async def images() -> AsyncIterator[Path]:
        for path in sorted(tmp_path.iterdir()):
            yield path

    async def scenario() -> None:
        async with AsyncClient(transport=FakeTransport(), batch_size=2) as client:
            with Client(transport=FakeTransport()) as twin:
                expected = twin.rank_groups(tmp_path)
            assert [len(group.images) for group in expected] == [2, 2, 2]
            assert await client.rank_groups(tmp_path) == expected
            assert await client.rank_groups(images()) == expected

    asyncio.run(scenario())


def test_the_event_loop_is_never_held_up() -> None:
    transport = HoldingTransport()

    async def scenario() -> None:
        async with AsyncClient(transport=transport, batch_size=1, in_flight=1) as client:
            scoring = asyncio.create_task(client.score_images([b""] * 3))
            while not transport.holding.is_set():
                await asyncio.sleep(0.001)
            transport.let_go.set()  # by the loop, which the batches that are held do not hold
            assert all(score.ok for score in await scoring)

    asyncio.run(scenario())


def test_a_cancelled_task_cancels_its_requests() -> None:
    transport = HoldingTransport()

    async def scenario() -> None:
        async with AsyncClient(transport=transport, batch_size=1, in_flight=1) as client:
            task = asyncio.create_task(client.score_images([b""] * 20))
            while not transport.holding.is_set():
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await client.score_images(b"2"))[0].ok  # nobody let go of the others

    asyncio.run(scenario())
