"""Turns of the servers that share the work."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from iq_client.wire.replicas import EJECTION_SECONDS, MAX_EJECTION_SECONDS, Replica, Replicas


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def replicas(clock: Clock) -> Replicas:
    """Three servers, of which only the turns matter."""
    made = [SimpleNamespace(url=url, failures=0, ejected_until=0.0) for url in "abc"]
    return Replicas(cast("list[Replica]", made), clock=clock)


def turns(replicas: Replicas, count: int) -> str:
    return "".join(replicas.pick().url for _ in range(count))


def named(replicas: Replicas, url: str) -> Any:
    return next(replica for replica in replicas if replica.url == url)


def test_all_take_their_turn(replicas: Replicas) -> None:
    assert turns(replicas, 7) == "abcabca"


def test_one_that_failed_is_left_out_for_a_while(replicas: Replicas, clock: Clock) -> None:
    replicas.eject(named(replicas, "b"))
    assert turns(replicas, 4) == "acac"
    clock.now += EJECTION_SECONDS
    assert "b" in turns(replicas, 3)


def test_every_further_failure_doubles_the_while(replicas: Replicas, clock: Clock) -> None:
    b = named(replicas, "b")
    for failures in range(20):
        replicas.eject(b)
        left_out = b.ejected_until - clock.now
        assert left_out == pytest.approx(min(EJECTION_SECONDS * 2**failures, MAX_EJECTION_SECONDS))
    replicas.answered(b)
    assert "b" in turns(replicas, 3)
    replicas.eject(b)
    assert b.ejected_until - clock.now == pytest.approx(EJECTION_SECONDS)


def test_where_all_failed_the_first_to_come_back_is_asked(replicas: Replicas, clock: Clock) -> None:
    for url in "cab":
        assert replicas.any_up()
        replicas.eject(named(replicas, url))
        clock.now += EJECTION_SECONDS / 10
    assert not replicas.any_up()
    assert turns(replicas, 2) == "cc"


def test_an_answer_ends_the_despair(replicas: Replicas) -> None:
    replicas.down = True
    replicas.answered(named(replicas, "a"))
    assert not replicas.down
