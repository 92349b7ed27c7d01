"""Images put together to batches."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from iq_client.wire.packing import pack


@given(
    images=st.lists(st.binary(max_size=12)),
    max_images=st.integers(1, 8),
    max_bytes=st.integers(1, 30),
)
def test_packing(images: list[bytes], max_images: int, max_bytes: int) -> None:
    batches = list(pack(enumerate(images), max_images, max_bytes))
    assert [item for batch in batches for item in batch] == list(enumerate(images))
    for batch in batches:
        assert 1 <= len(batch) <= max_images
        assert len(batch) == 1 or sum(len(data) for _, data in batch) <= max_bytes
    for batch, following in itertools.pairwise(batches):  # no batch is closed too early
        size = sum(len(data) for _, data in batch)
        assert len(batch) == max_images or size + len(following[0][1]) > max_bytes


def test_packing_reads_one_image_ahead() -> None:
    numbers = itertools.count()
    next(pack(((number, b"x") for number in numbers), 4, 100))
    assert next(numbers) == 5
