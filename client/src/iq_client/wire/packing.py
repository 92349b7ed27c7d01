"""Images put together to batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def pack(
    images: Iterable[tuple[int, bytes]], max_images: int, max_bytes: int
) -> Iterator[list[tuple[int, bytes]]]:
    """Groups neighbours into batches.

    Args:
        images: Positions and file contents; read no further than the batch that is wanted, and
            one image ahead.
        max_images: Images of a batch at most.
        max_bytes: Bytes of a batch at most; an image that is larger is packed alone.

    Yields:
        Batches that are not empty; joined they are `images`.
    """
    batch: list[tuple[int, bytes]] = []
    size = 0
    for index, data in images:
        if batch and (len(batch) == max_images or size + len(data) > max_bytes):
            yield batch
            batch, size = [], 0
        batch.append((index, data))
        size += len(data)
    if batch:
        yield batch
