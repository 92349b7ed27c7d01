"""Photos that are connected by looking alike: alone, or together with the time, among many."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from iq_client.hamming import BITS, PAIRS_AT_ONCE, pairs_within, signs

if TYPE_CHECKING:
    import numpy.typing as npt

    from iq_client.hamming import Integers

    _Booleans: TypeAlias = npt.NDArray[np.bool_]

_ROWS: Final = 1_000  # compared at once at most
_EPOCH: Final = datetime(1970, 1, 1)


class Neighbours:
    """Sets of photos that grow as pairs of them are found to be alike.

    Memory does not depend on how many pairs are alike.

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
        self._hashes = np.array(hashes, np.uint64)
        self._signs = signs(self._hashes)
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
        untimed = np.array([time is None for time in self._taken], bool)
        hashes, first, which = np.unique(self._hashes, return_index=True, return_inverse=True)
        asking = np.unique(which[untimed])
        met = np.zeros(len(hashes), bool)
        met[asking] = True
        for asks, other in pairs_within(hashes, asking, distance):
            met[other] = True
            self._join(first[asks], first[other])
        # All that have such a hash are alike to a photo without a time, and so are connected by it.
        members = np.flatnonzero(met[which])
        self._join(members, first[which[members]])

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
            end = min(
                len(order), start + max(1, min(_ROWS, PAIRS_AT_ONCE // (start - first + _ROWS)))
            )
            rows, columns = order[start:end], order[first:end]
            near = np.abs(clock[start:end, None] - clock[None, first:end]) <= longest
            near &= ~(done[rows, None] & done[None, columns])
            self._connect(rows, columns, distance, near)
            start = end

    def _connect(self, rows: Integers, columns: Integers, distance: int, among: _Booleans) -> None:
        alike = self._signs[rows] @ self._signs[columns].T >= BITS - 2 * distance
        alike &= self.labels[rows, None] != self.labels[None, columns]
        alike &= among
        row, column = np.nonzero(alike)
        self._join(rows[row], columns[column])

    def _join(self, some: Integers, others: Integers) -> None:
        """Connects each photo of the one with its counterpart of the other."""
        ends = self.labels[some], self.labels[others]
        if np.array_equal(*ends):
            return
        # SciPy comes with imagehash, which the hashes are of.
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        count = len(self.labels)
        links = coo_array((np.ones(len(some), np.int8), ends), shape=(count, count))
        self.labels = connected_components(links, directed=False)[1].astype(np.int64)[self.labels]


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
