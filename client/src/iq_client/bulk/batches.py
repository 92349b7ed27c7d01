"""Batches of a dataframe or of Ray Data, scored by one client that is held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from iq_client.bulk.read import source_of, source_of_bytes
from iq_client.client import Client
from iq_client.images.inputs import InputOptions
from iq_client.images.source import Source
from iq_client.results import VOTES, Score


class BatchScorer:
    """Adds scores to batches of photos; for `ray.data.Dataset.map_batches`.

        scored = photos.map_batches(
            BatchScorer, fn_constructor_kwargs={"url": "dns:///triton:8001"}, concurrency=4
        )

    Every actor holds one client, which spreads its requests over the servers of the address.
    """

    def __init__(self, url: str | Sequence[str] | None = None, **options: Any) -> None:
        """Makes the client.

        Args:
            url: As of `Client`.
            options: As of `Client`, such as `in_flight` or `headers`.
        """
        self._client = Client(url, **options)
        self._inputs = InputOptions(allow_urls=bool(options.get("allow_urls")))

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Scores a batch.

        Args:
            batch: Columns; `bytes` are the photos' files, or `uri` their addresses, and `id`, where
                there is one, their names.

        Returns:
            The same columns and those of a shard's file: `mean`, `std`, `percentile` (float32 [N],
            NaN where there is none), `distribution` (float32 [N, 10]), `error_code` and
            `error_message` (text or None). A photo that failed has NaN and a code.

        Raises:
            KeyError: The batch has neither `bytes` nor `uri`.
            ConnectError: No server can be asked.
        """
        scores = self._client.score_images(list(self._sources(batch)))
        return {**batch, **_columns(scores)}

    def _sources(self, batch: Mapping[str, Any]) -> Iterator[Source]:
        if "bytes" not in batch and "uri" not in batch:
            raise KeyError(f"`bytes` or `uri` is needed, the batch has {', '.join(batch)}")
        content = batch["bytes"] if "bytes" in batch else batch["uri"]
        names = batch.get("id", range(len(content)))
        for name, value in zip(names, content, strict=True):
            if "bytes" in batch:
                yield source_of_bytes(str(name), value)
            else:
                yield source_of(str(name), value, self._inputs)


def _columns(scores: Sequence[Score]) -> dict[str, Any]:
    unscored = (np.nan,) * len(VOTES)
    return {
        "mean": np.array([score.mean for score in scores], np.float32),
        "std": np.array([score.std for score in scores], np.float32),
        "percentile": np.array(
            [np.nan if score.percentile is None else score.percentile for score in scores],
            np.float32,
        ),
        "distribution": np.array(
            [score.distribution if score.ok else unscored for score in scores], np.float32
        ).reshape(-1, len(VOTES)),
        "error_code": np.array(
            [score.error.code if score.error else None for score in scores], np.object_
        ),
        "error_message": np.array(
            [score.error.message if score.error else None for score in scores], np.object_
        ),
    }
