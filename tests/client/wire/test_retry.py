"""The patience with one request."""

from __future__ import annotations

import itertools
import random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iq_client.codes import ErrorCode, StatusCode
from iq_client.errors import RequestFailed
from iq_client.wire.retry import Fault, RetryPolicy, Tries, fault_of


@given(
    first=st.floats(0, 10),
    multiplier=st.floats(1, 10),
    maximum=st.floats(0, 20),
    jitter=st.floats(0, 1),
)
def test_delays(first: float, multiplier: float, maximum: float, jitter: float) -> None:
    policy = RetryPolicy(first_delay=first, multiplier=multiplier, max_delay=maximum, jitter=jitter)
    delays = list(itertools.islice(policy.delays(random.Random(0)), 40))
    unspread = [min(first * multiplier**i, maximum) for i in range(40)]
    for delay, longest in zip(delays, unspread, strict=True):
        assert longest * (1 - jitter) <= delay * (1 + 1e-9) + 1e-12
        assert delay <= longest * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize(
    "wrong",
    [{"attempts": 0}, {"timeouts": 0}, {"first_delay": -1}, {"multiplier": 0.5}, {"jitter": 2}],
)
def test_a_policy_refuses_nonsense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"give|jitter|delays"):
        RetryPolicy(**wrong)  # type: ignore[arg-type]


def failure(code: ErrorCode, *, divisible: bool = False) -> RequestFailed:
    return RequestFailed(code, "injected", divisible=divisible)


@pytest.mark.parametrize("code", get_args(StatusCode))
def test_a_code_is_retried_or_not(code: StatusCode) -> None:
    retried = {
        "UNAVAILABLE": Fault.AWAY,
        "RESOURCE_EXHAUSTED": Fault.BUSY,
        "DEADLINE_EXCEEDED": Fault.LATE,
    }
    fault = fault_of(failure(code))
    assert fault is retried.get(code, Fault.LASTING)
    assert Tries(RetryPolicy(), random.Random(0)).again(fault) == (code in retried)
    assert fault_of(failure(code, divisible=True)) is Fault.LASTING


@given(st.lists(st.sampled_from([Fault.AWAY, Fault.BUSY, Fault.LATE]), min_size=1))
def test_tries_are_counted(faults: list[Fault]) -> None:
    tries = Tries(RetryPolicy(attempts=6, timeouts=3), random.Random(0))
    again = [tries.again(fault) for fault in faults]
    for number, (fault, answer) in enumerate(zip(faults, again, strict=True), start=1):
        late = faults[:number].count(Fault.LATE)
        assert answer == (number < 6 and (fault is not Fault.LATE or late < 3))
