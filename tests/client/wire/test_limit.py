"""The gate for requests in flight."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iq_client.wire.limit import InFlightLimit


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def settled_width(capacity: int, servers: int = 1) -> int:
    """Width at which the gate rests, at a server that answers `capacity` requests in parallel."""
    clock = Clock()
    limit = InFlightLimit(clock=clock, servers=servers)
    widths = []
    for _ in range(200):
        width = limit.width
        for _ in range(width):
            limit.acquire()
        limit._saturated = True  # as where another request waits at the gate
        clock.now += max(width / capacity, 1.0)
        for _ in range(width):
            limit.release(8)
        widths.append(width)
    return max(set(widths[100:]), key=widths[100:].count)


@pytest.mark.parametrize("capacity", [5, 8, 12])
def test_the_gate_finds_what_the_server_can_do(capacity: int) -> None:
    assert abs(settled_width(capacity) - capacity) <= 1


@pytest.mark.parametrize("servers", [1, 8, 50])
def test_the_gate_has_a_bound(servers: int) -> None:
    assert settled_width(100_000, servers) == InFlightLimit(servers=servers).maximum


@pytest.mark.parametrize("servers", [8, 50])
def test_many_servers_are_all_kept_busy(servers: int) -> None:
    assert InFlightLimit(servers=servers).width >= 2 * servers
    # As many as are at work, and as many as wait for them.
    assert settled_width(10 * servers, servers) == pytest.approx(10 * servers, rel=0.15)


def test_overload_halves_the_gate() -> None:
    limit = InFlightLimit()
    for expected in (2, 1, 1):
        limit.acquire()
        limit.release(0, overloaded=True)
        assert limit.width == expected


def test_a_gate_that_nobody_queues_at_stays() -> None:
    clock = Clock()
    limit = InFlightLimit(clock=clock)
    before = limit.width
    for _ in range(100):
        limit.acquire()
        clock.now += 1.0
        limit.release(8)
    assert limit.width == before


@given(st.integers(1, 32), st.lists(st.booleans(), max_size=50))
def test_a_fixed_gate_stays(width: int, overloads: list[bool]) -> None:
    limit = InFlightLimit(width)
    for overloaded in overloads:
        limit.acquire()
        limit.release(1, overloaded=overloaded)
    assert limit.width == limit.maximum == width


def test_a_gate_needs_a_width() -> None:
    with pytest.raises(ValueError, match="in_flight"):
        InFlightLimit(0)
