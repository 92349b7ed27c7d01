"""Photos that are connected by looking alike: alone, or together with the time, among many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    _Integers: TypeAlias = npt.NDArray[np.int64]
    _Booleans: TypeAlias = npt.NDArray[np.bool_]

_BITS: Final = 64
_PAIRS: Final = 2_000_000  # compared at once: some tens of MB
_ROWS: Final = 1_000  # at once at most
_EPOCH: Final = datetime(1970, 1, 1)


class Neighbours:
    """Sets of photos that grow as pairs of them are found to be alike.

    Comparing is a product of matrices, a block after the other: 64 multiplications for a pair,
    and a memory that does not depend on how many pairs are alike.

    Attributes:
        labels: int64 [N]: the same number for all photos that are connected.
    """

    def __init__(self, hashes: Sequence[int], taken: Sequence[datetime | None]) -> None:
        """Takes the photos; none are connected yet.

        Args:
            hashes: 64 bits of each.
            taken: Time of each, with its zone where that is known, else as the clock showed it.
        """
        self.labels = np.arange(len(hashes))
        bits = np.unpackbits(np.array(hashes, np.uint64).view(np.uint8).reshape(-1, 8), axis=1)
        # The product of two such rows is 64 less twice the bits that differ.
        self._signs = bits.astype(np.float32) * 2 - 1
        self._taken = taken

    def connect_in_time(self, gap: float, distance: int) -> None:
        """Connects photos that are close in time and alike.

        Two times that both have a zone are compared by it, all others by what the clocks showed.

        Args:
            gap: Seconds between two at most.
            distance: Bits that may differ.
        """
        zoned = np.array([time is not None and time.tzinfo is not None for time in self._taken])
        shown = {
            index: _microseconds(time.replace(tzinfo=None))
            for index, time in enumerate(self._taken)
            if time is not None
        }
        everywhere = {
            index: _microseconds(time.astimezone(UTC).replace(tzinfo=None))
            for index, time in enumerate(self._taken)
            if time is not None and time.tzinfo is not None
        }
        self._sweep(everywhere, gap, distance, np.zeros_like(zoned))
        if len(everywhere) < len(shown):
            self._sweep(shown, gap, distance, zoned)

    def connect_without_time(self, distance: int) -> None:
        """Connects photos whose time is not known with all that are alike.

        Args:
            distance: Bits that may differ.
        """
        rows = np.array([index for index, time in enumerate(self._taken) if time is None], np.int64)
        everybody = np.arange(len(self._taken))
        step = max(1, _PAIRS // max(1, len(everybody)))
        for start in range(0, len(rows), step):
            self._connect(rows[start : start + step], everybody, distance)

    def _sweep(self, times: dict[int, int], gap: float, distance: int, done: _Booleans) -> None:
        """Connects photos by times in microseconds, but for pairs that are both done already."""
        order = np.array(sorted(times, key=lambda index: times[index]), np.int64)
        clock = np.array([times[int(index)] for index in order], np.int64)
        longest = round(gap * 1e6)
        firsts = np.searchsorted(clock, clock - longest)
        start = 0
        while start < len(order):
            first = int(firsts[start])
            # No more than _ROWS of columns come behind those in front of the first row.
            end = min(len(order), start + max(1, min(_ROWS, _PAIRS // (start - first + _ROWS))))
            rows, columns = order[start:end], order[first:end]
            near = np.abs(clock[start:end, None] - clock[None, first:end]) <= longest
            near &= ~(done[rows, None] & done[None, columns])
            self._connect(rows, columns, distance, near)
            start = end

    def _connect(
        self, rows: _Integers, columns: _Integers, distance: int, among: _Booleans | None = None
    ) -> None:
        alike = self._signs[rows] @ self._signs[columns].T >= _BITS - 2 * distance
        alike &= self.labels[rows, None] != self.labels[None, columns]
        if among is not None:
            alike &= among
        row, column = np.nonzero(alike)
        if not len(row):
            return
        # SciPy comes with imagehash, which the hashes are of.
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        count = len(self.labels)
        ends = (self.labels[rows[row]], self.labels[columns[column]])
        links = coo_array((np.ones(len(row), np.int8), ends), shape=(count, count))
        self.labels = connected_components(links, directed=False)[1].astype(np.int64)[self.labels]


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
