"""The retries of a request: after which failures, how often, how long between two tries."""

from __future__ import annotations

import enum
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from iq_client.codes import ErrorCode
from iq_client.errors import RequestFailed


class Fault(enum.Enum):
    """The kinds of failures, by what helps against them."""

    AWAY = enum.auto()  # nobody answers: another replica, or the same one later
    BUSY = enum.auto()  # the server is overloaded: later
    LATE = enum.auto()  # no answer within the time for one try: at once, but not often
    LASTING = enum.auto()  # trying again would change nothing


# The codes that are worth another try; whatever is not here is lasting.
FAULTS: Final[Mapping[ErrorCode, Fault]] = {
    "UNAVAILABLE": Fault.AWAY,
    "RESOURCE_EXHAUSTED": Fault.BUSY,
    "DEADLINE_EXCEEDED": Fault.LATE,
}


def fault_of(failure: RequestFailed) -> Fault:
    """The kind of a failure; a batch that is to be divided never passes as it is."""
    return Fault.LASTING if failure.divisible else FAULTS.get(failure.code, Fault.LASTING)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The patience with one request; scoring is idempotent, so it may be tried again.

    Attributes:
        attempts: Tries of one request where the server is away or overloaded (`UNAVAILABLE`,
            `RESOURCE_EXHAUSTED`), the first one included; 1 turns retries off.
        timeouts: Tries of one request that ran into its timeout (`DEADLINE_EXCEEDED`), the first
            one included.
        first_delay: Seconds before the second try.
        multiplier: Factor by which every further delay is longer.
        max_delay: Seconds that no delay exceeds.
        jitter: Share of a delay that is drawn at random, in 0…1, so that many clients do not come
            back in the same moment.

    The defaults wait for about 20 seconds altogether: a server that restarts is back by then.
    """

    attempts: int = 10
    timeouts: int = 2
    first_delay: float = 0.1
    multiplier: float = 2.0
    max_delay: float = 5.0
    jitter: float = 0.3

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.timeouts < 1:
            raise ValueError("attempts and timeouts count the first try: give 1 or more")
        if self.first_delay < 0 or self.max_delay < 0 or self.multiplier < 1:
            raise ValueError("delays are seconds of 0 or more and the multiplier is 1 or more")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter is a share in 0…1, not {self.jitter}")

    def delays(self, random_share: random.Random) -> Iterator[float]:
        """The seconds between the tries, without end; jitter only ever shortens a delay."""
        delay = self.first_delay
        while True:
            delay = min(delay, self.max_delay)
            yield delay * (1 - self.jitter * random_share.random())
            delay *= self.multiplier


class Tries:
    """The tries of one request so far, counted against a policy."""

    def __init__(self, policy: RetryPolicy, random_share: random.Random) -> None:
        self._policy = policy
        self._tries = 0
        self._timeouts = 0
        self._delays = policy.delays(random_share)

    def again(self, fault: Fault) -> bool:
        """Counts a try that failed; tells whether there is to be another one."""
        self._tries += 1
        self._timeouts += fault is Fault.LATE
        if fault is Fault.LASTING or self._tries >= self._policy.attempts:
            return False
        return fault is not Fault.LATE or self._timeouts < self._policy.timeouts

    def delay(self) -> float:
        """Seconds before the next try."""
        return next(self._delays)
