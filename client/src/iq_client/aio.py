"""The asynchronous client: the same engine, awaited."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Self, TypeAlias

from iq_client.engine import Engine, chunks
from iq_client.errors import ScoringError
from iq_client.groups import Fingerprints, Grouping, group_images
from iq_client.images.inputs import Input, InputOptions, Inputs, expand, expand_one
from iq_client.images.source import Source
from iq_client.options import BaseClient
from iq_client.ranking import probability_better, rank
from iq_client.results import Group, RankedImage, RankKey, Score, ServerInfo
from iq_client.wire.transport import CONTROL_SECONDS, wait_until_ready

AsyncInputs: TypeAlias = "Inputs | AsyncIterable[Input]"


class AsyncClient(BaseClient):
    """`Client` for code on an event loop: the same methods, options and results, awaited.

        async with AsyncClient("localhost:8001") as client:
            async for score in client.iter_scores("photos/"):
                print(score.source, score.mean)

    Reading, packing and sending run on threads, so that they never hold up the loop. A plain
    iterable is read on such a thread as well; an asynchronous one on the loop.
    """

    async def score_images(
        self,
        images: AsyncInputs,
        *,
        on_score: Callable[[Score], None] | None = None,
        raise_on_error: bool = False,
    ) -> list[Score]:
        """`Client.score_images`, awaited."""
        scores = []
        async for score in self.iter_scores(images):
            if raise_on_error and not score.ok:
                raise ScoringError(score)
            if on_score is not None:
                on_score(score)
            scores.append(score)
        return scores

    async def iter_scores(self, images: AsyncInputs) -> AsyncIterator[Score]:
        """`Client.iter_scores` for `async for`."""
        await asyncio.to_thread(self._engine.connect)
        with self._engine.call(self._deadline) as pending:
            async for chunk in _chunks(images, self._engine, self._input_options):
                pending.submit(chunk)
                while pending.due:
                    for score in await asyncio.wrap_future(pending.pop()):
                        yield score
            while pending:
                for score in await asyncio.wrap_future(pending.pop()):
                    yield score

    async def rank_images(
        self, images: AsyncInputs, *, top: int | None = None, key: RankKey = "mean"
    ) -> list[RankedImage]:
        """`Client.rank_images`, awaited."""
        return rank(await self.score_images(images), top=top, key=key)

    async def rank_groups(
        self, images: AsyncInputs, *, grouping: Grouping | None = None, key: RankKey = "mean"
    ) -> list[Group]:
        """`Client.rank_groups`, awaited."""
        prints = Fingerprints()

        async def watched() -> AsyncIterator[Source]:
            async for chunk in _chunks(images, self._engine, self._input_options):
                for source in chunk:
                    yield prints.watch(source)

        scores = await self.score_images(watched())
        return await asyncio.to_thread(
            group_images, scores, prints.first(len(scores)), grouping=grouping, key=key
        )

    async def compare(self, a: Input, b: Input) -> float:
        """`Client.compare`, awaited."""
        return probability_better(*await self.score_images([a, b], raise_on_error=True))

    async def server_info(self) -> ServerInfo:
        """`Client.server_info`, awaited."""
        return await asyncio.to_thread(self._engine.transport.server_info, CONTROL_SECONDS)

    async def wait_until_ready(self, timeout: float = 60.0) -> None:
        """`Client.wait_until_ready`, awaited."""
        await asyncio.to_thread(wait_until_ready, self._engine.transport, timeout)

    async def close(self) -> None:
        """`Client.close`, awaited."""
        await asyncio.to_thread(self._engine.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


async def _chunks(
    images: AsyncInputs, engine: Engine, options: InputOptions
) -> AsyncIterator[list[Source]]:
    if not isinstance(images, AsyncIterable):
        async for chunk in _drain(expand(images, options), engine):
            yield chunk
        return
    items: list[tuple[int, Input]] = []
    index = itertools.count()
    async for item in images:
        items.append((next(index), item))
        if len(items) == engine.batch_size:
            async for chunk in _drain(_expand_items(items, options), engine):
                yield chunk
            items = []
    async for chunk in _drain(_expand_items(items, options), engine):
        yield chunk


def _expand_items(items: Iterable[tuple[int, Input]], options: InputOptions) -> Iterable[Source]:
    return itertools.chain.from_iterable(expand_one(item, index, options) for index, item in items)


async def _drain(sources: Iterable[Source], engine: Engine) -> AsyncIterator[list[Source]]:
    iterator = chunks(sources, engine.batch_size, engine.max_request_bytes)
    while chunk := await asyncio.to_thread(next, iterator, None):
        yield chunk
