"""Pairs of hashes that are nearly alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from iq_client import hamming
from iq_client.hamming import pairs_within


def clusters(count: int, members: int) -> npt.NDArray[np.uint64]:
    """Random hashes, each with others that differ from it in 1, 2, 3 … bits."""
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**64, (count, 1), np.uint64)
    for differing in range(1, members):
        places = random.permuted(np.tile(np.arange(64), (count, 1)), axis=1)[:, :differing]
        bits = np.left_shift(np.uint64(1), places.astype(np.uint64))
        hashes = np.hstack([hashes, hashes[:, :1] ^ np.bitwise_or.reduce(bits, axis=1)[:, None]])
    return hashes.ravel()


def found(
    hashes: npt.NDArray[np.uint64], asking: npt.NDArray[np.int64], distance: int
) -> set[tuple[int, int]]:
    return {
        (int(one), int(other))
        for some, others in pairs_within(hashes, asking, distance)
        for one, other in zip(some, others, strict=True)
    }


@pytest.mark.parametrize("distance", [0, 2, 8, 13])
def test_no_pair_is_missed_whichever_way_they_are_looked_for(
    monkeypatch: pytest.MonkeyPatch, distance: int
) -> None:
    hashes = clusters(40, 16)
    asking = np.arange(0, len(hashes), 3)
    differing = np.unpackbits((hashes[asking, None] ^ hashes).view(np.uint8), axis=1).reshape(
        len(asking), len(hashes), 64
    )
    rows, columns = np.nonzero(differing.sum(axis=2) <= distance)
    wanted = set(zip(asking[rows].tolist(), columns.tolist(), strict=True))
    assert len(wanted) > len(asking) or distance == 0  # more than each with itself
    assert found(hashes, asking, distance) == wanted
    monkeypatch.setattr(hamming, "_COST_OF_PAIR", 0)
    monkeypatch.setattr(hamming, "_COST_OF_LOOK_UP", 0)
    assert hamming._bands(hashes, asking, distance) is not None
    for pieces in (1, 1000, 400_000):
        monkeypatch.setattr(hamming, "_LOOK_UPS", pieces if distance == 2 else 400_000)
        assert found(hashes, asking, distance) == wanted


def test_of_many_hashes_few_pairs_are_compared() -> None:
    hashes = clusters(5_000, 2)
    everyone = np.arange(len(hashes))
    bands = hamming._bands(hashes, everyone, 8)
    assert bands is not None
    assert sum(band.pairs(everyone) for band in bands) < len(hashes) ** 2 / 200


def test_hashes_that_are_all_alike_are_compared_in_blocks() -> None:
    alike = np.arange(4_000, dtype=np.uint64)  # 12 bits of 64 are not the same in all
    assert hamming._bands(alike, np.arange(len(alike)), 8) is None


def test_nothing_to_compare() -> None:
    nothing = np.array([], np.uint64)
    assert found(nothing, np.array([], np.int64), 8) == set()
    assert found(clusters(3, 2), np.array([], np.int64), 8) == set()
