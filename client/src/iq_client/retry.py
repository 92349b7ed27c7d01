"""When a request is tried again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a request is tried; scoring is idempotent, so it may be.

    Attributes:
        attempts: Tries of one request where the server is away or overloaded (`UNAVAILABLE`,
            `RESOURCE_EXHAUSTED`), the first one included; 1 turns retries off.
        timeouts: Tries of one request that ran into its timeout (`DEADLINE_EXCEEDED`), the first
            one included.
        first_delay: Seconds before the second try.
        multiplier: By how much every further delay is longer.
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
