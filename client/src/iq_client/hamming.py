"""Pairs of 64-bit hashes that differ in few bits, among very many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Hashes: TypeAlias = npt.NDArray[np.uint64]
    Integers: TypeAlias = npt.NDArray[np.int64]
    _Pairs: TypeAlias = Iterator[tuple[Integers, Integers]]

BITS: Final = 64
PAIRS_AT_ONCE: Final = 2_000_000  # compared in blocks: some tens of MB
_LOOK_UPS: Final = 400_000  # the same for pairs by their bands

_BANDS: Final = 4
_KEYS: Final = 2 ** (BITS // _BANDS)  # that a band may be
# What a pair costs by its bands, and the look-up of a band, in pairs compared in blocks.
_COST_OF_PAIR: Final = 8
_COST_OF_LOOK_UP: Final = 2

_ONES: Final = np.unpackbits(np.arange(_KEYS, dtype=np.uint16).view(np.uint8)).reshape(-1, 16).sum(
    axis=1, dtype=np.uint8
)  # fmt: skip


def pairs_within(hashes: Hashes, asking: Integers, distance: int) -> _Pairs:
    """Pairs of hashes that differ in at most `distance` bits.

    Where it is quicker, only hashes are compared of which 16 bits are nearly the same, after
    Norouzi, Punjani and Fleet, "Fast search in Hamming space with multi-index hashing", CVPR 2012.
    Memory does not depend on how many pairs are alike.

    Args:
        hashes: [N].
        asking: [Q]: indices of those that the others are compared with.
        distance: Bits.

    Yields:
        Index of one that asks, and of another: two arrays of one length. A pair may come more
        than once.
    """
    bands = _bands(hashes, asking, distance)
    yield from (
        _in_blocks(hashes, asking, distance)
        if bands is None
        else _in_bands(hashes, asking, distance, bands)
    )


def signs(hashes: Hashes) -> npt.NDArray[np.float32]:
    """Rows of ±1, [N, 64]: the product of two is 64 less twice the bits that differ."""
    bits = np.unpackbits(hashes.view(np.uint8).reshape(-1, BITS // 8), axis=1)
    return bits.astype(np.float32) * 2 - 1


class _Band:
    """16 bits of all hashes, and the bits of them that may differ.

    Two hashes that differ in at most `distance` bits differ, in one band at least, in no more than
    its share: the shares and 1 for each band are `distance` + 1 together.
    """

    def __init__(self, keys: npt.NDArray[np.uint16], share: int) -> None:
        self.keys = keys
        self.changes = np.flatnonzero(share >= _ONES).astype(np.uint16)
        self.counts = np.bincount(keys, minlength=_KEYS)
        self.starts = np.cumsum(self.counts) - self.counts
        self.order = np.argsort(keys, kind="stable")

    def pairs(self, asking: Integers) -> int:
        """Count of the pairs that have to be compared."""
        asked = np.bincount(self.keys[asking], minlength=_KEYS)
        keys = np.flatnonzero(asked)
        return sum(int(asked[keys] @ self.counts[keys ^ change]) for change in self.changes)


def _bands(hashes: Hashes, asking: Integers, distance: int) -> list[_Band] | None:
    """The bands to look for pairs by; None where blocks are quicker."""
    most = len(asking) * len(hashes)
    each, more = divmod(distance + 1, _BANDS)
    shares = [each - 1 + (band < more) for band in range(_BANDS)]
    changes = sum(int((share >= _ONES).sum()) for share in shares if share >= 0)
    if _COST_OF_LOOK_UP * len(asking) * changes >= most:
        return None
    keys = hashes.view(np.uint16).reshape(-1, _BANDS)
    bands = [_Band(keys[:, band], share) for band, share in enumerate(shares) if share >= 0]
    pairs = sum(band.pairs(asking) for band in bands)
    return bands if _COST_OF_PAIR * pairs < most else None


def _in_bands(hashes: Hashes, asking: Integers, distance: int, bands: list[_Band]) -> _Pairs:
    step = max(1, _LOOK_UPS // max(1, len(asking)))
    for band in bands:
        for start in range(0, len(band.changes), step):
            changes = band.changes[start : start + step]
            wanted = (band.keys[asking] ^ changes[:, None]).ravel()
            counts = band.counts[wanted]
            for first, last in _pieces(np.cumsum(counts)):
                here = counts[first:last]
                ends = np.cumsum(here)
                asks = np.repeat(asking[np.arange(first, last) % len(asking)], here)
                behind = np.repeat(band.starts[wanted[first:last]] - ends + here, here)
                others = band.order[behind + np.arange(ends[-1])]
                differing = _ONES[(hashes[asks] ^ hashes[others]).view(np.uint16)]
                close = differing.reshape(-1, _BANDS).sum(axis=1) <= distance
                yield asks[close], others[close]


def _pieces(ends: Integers) -> Iterator[tuple[int, int]]:
    """Neighbours whose counts, `ends` being their running sums, are about _LOOK_UPS together."""
    first = 0
    while first < len(ends):
        before = int(ends[first - 1]) if first else 0
        last = int(np.searchsorted(ends, before + _LOOK_UPS, side="right"))
        last = max(first + 1, last)
        if ends[last - 1] > before:
            yield first, last
        first = last


def _in_blocks(hashes: Hashes, asking: Integers, distance: int) -> _Pairs:
    rows = signs(hashes)
    step = max(1, PAIRS_AT_ONCE // max(1, len(hashes)))
    for start in range(0, len(asking), step):
        asks = asking[start : start + step]
        row, column = np.nonzero(rows[asks] @ rows.T >= BITS - 2 * distance)
        yield asks[row], column
