"""The synchronous client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from iq_client.engine import chunks
from iq_client.errors import ScoringError
from iq_client.groups import Fingerprints, Grouping, group_images
from iq_client.images.inputs import Input, Inputs, expand
from iq_client.options import BaseClient
from iq_client.ranking import probability_better, rank
from iq_client.results import Group, RankedImage, RankKey, Score, ServerInfo
from iq_client.wire.transport import CONTROL_SECONDS, wait_until_ready


class Client(BaseClient):
    """Scores and ranks images on a server; safe to use from several threads.

        with Client("localhost:8001") as client:
            for row in client.rank_images("photos/", top=10):
                print(row.rank, row.score.mean, row.score.source)

    Every method that scores raises `ConnectError` where no server can be asked at its start, where
    the client was closed, or where it was made before `fork()` and is used in the child process;
    `ContractError` where the server's model is of another version. Once it has begun, what goes
    wrong with an image or a request is the `error` of the scores that it concerns.
    """

    def score_images(
        self,
        images: Inputs,
        *,
        on_score: Callable[[Score], None] | None = None,
        raise_on_error: bool = False,
    ) -> list[Score]:
        """Scores images.

        Args:
            images: A path, folder, glob pattern, bytes, file object, PIL image, uint8 array
                [H, W, 3], URL, `Source`, or an iterable of these.
            on_score: Called with every score as it comes, in order.
            raise_on_error: Raise for the first image that cannot be scored.

        Returns:
            One score per image, in the order given.

        Raises:
            ScoringError: An image failed and `raise_on_error` is set.
        """
        scores = []
        for score in self.iter_scores(images):
            if raise_on_error and not score.ok:
                raise ScoringError(score)
            if on_score is not None:
                on_score(score)
            scores.append(score)
        return scores

    def iter_scores(self, images: Inputs) -> Iterator[Score]:
        """Scores images while they are iterated: in the order given and in bounded memory.

        Args:
            images: As for `score_images`; an iterable may be endless and is read only some
                batches ahead.

        Yields:
            One score per image. Leaving the loop early cancels what is under way.
        """
        self._engine.connect()
        with self._engine.call(self._deadline) as pending:
            for chunk in chunks(
                expand(images, self._input_options),
                self._engine.batch_size,
                self._engine.max_request_bytes,
            ):
                pending.submit(chunk)
                while pending.due:
                    yield from pending.pop().result()
            while pending:
                yield from pending.pop().result()

    def rank_images(
        self, images: Inputs, *, top: int | None = None, key: RankKey = "mean"
    ) -> list[RankedImage]:
        """Scores images and puts them in order, best first, those that failed last.

        Args:
            images: As for `score_images`.
            top: Rows to return at most.
            key: `mean`, or `lower_bound` for the mean minus one standard deviation.

        Returns:
            The rows of the ranking.
        """
        return rank(self.iter_scores(images), top=top, key=key)

    def rank_groups(
        self, images: Inputs, *, grouping: Grouping | None = None, key: RankKey = "mean"
    ) -> list[Group]:
        """Scores images and puts near-identical ones, such as bursts, together.

        Args:
            images: As for `score_images`.
            grouping: A function from fingerprints to labels of what belongs together; None takes
                `iq_client.groups.bursts()`: close in time and alike, or the same picture.
            key: Order of the members of a group and of the groups, as in `rank_images`.

        Returns:
            Groups, the one with the best image first, the best of each first. Every image is in
            one of them.

        Raises:
            ImportError: The extra `groups` is not installed.
        """
        prints = Fingerprints()
        sources = expand(images, self._input_options)
        scores = self.score_images(map(prints.watch, sources))
        return group_images(scores, prints.first(len(scores)), grouping=grouping, key=key)

    def compare(self, a: Input, b: Input) -> float:
        """The probability that `a` is better than `b`.

        Args:
            a: One image.
            b: Another.

        Returns:
            The probability that a vote on `a` is above a vote on `b`, ties counted half: in 0…1.

        Raises:
            ScoringError: One of them cannot be scored.
        """
        return probability_better(*self.score_images([a, b], raise_on_error=True))

    def server_info(self) -> ServerInfo:
        """Description of the server and its model; raises `ConnectError`."""
        return self._engine.transport.server_info(CONTROL_SECONDS)

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Waits until the server has its model loaded.

        Args:
            timeout: Seconds to wait.

        Raises:
            DeadlineExceeded: It was not ready in time.
            AccessDenied: A token or certificate is missing.
            ContractError: The model has other tensors than this client was written for.
            ConnectError: The client was closed, or made before `fork()`.
        """
        wait_until_ready(self._engine.transport, timeout)

    def close(self) -> None:
        """Ends the connections; used afterwards, a client raises `ConnectError`."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
