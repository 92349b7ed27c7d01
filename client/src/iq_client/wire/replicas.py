"""The servers that share the work, and which of them is asked next."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from iq_client.results import TowerIdentity
from iq_client.wire.protocol import INFER_METHOD

if TYPE_CHECKING:
    import grpc

_LOG: Final = logging.getLogger(__name__)

# A replica that failed is left out for this long, doubled with every further failure.
EJECTION_SECONDS: Final = 0.5
MAX_EJECTION_SECONDS: Final = 10.0


class Replica:
    """One server: its channel and whether it answered lately."""

    def __init__(self, url: str, channel: grpc.Channel) -> None:
        from tritonclient.grpc import service_pb2, service_pb2_grpc

        self.url = url
        self.channel = channel
        self.stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        # Requests come serialised.
        self.infer: grpc.UnaryUnaryMultiCallable = channel.unary_unary(
            INFER_METHOD, response_deserializer=service_pb2.ModelInferResponse.FromString
        )
        # The networks behind it by version, None for one that is not named; empty until the server
        # was asked. Another one may come back after a failure, so it is asked again then.
        self.towers: dict[str, TowerIdentity | None] = {}
        self.failures = 0
        self.ejected_until = 0.0


class Replicas:
    """The servers, taken in turn; one that failed is left out for a while.

    Attributes:
        down: True since a request used up its tries because nobody answered, until one does: the
            ones behind it then fail after one try each instead of waiting as long again.
    """

    def __init__(
        self, replicas: Sequence[Replica], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Takes the servers, all of them in turn at first.

        Args:
            replicas: One at least.
            clock: Seconds that only ever grow.
        """
        self.down = False
        self._replicas = list(replicas)
        self._clock = clock
        self._lock = threading.Lock()
        self._next = 0

    def __iter__(self) -> Iterator[Replica]:
        return iter(self._replicas)

    def __len__(self) -> int:
        return len(self._replicas)

    def pick(self) -> Replica:
        """The next replica in turn that is not left out, else the one that comes back first."""
        now = self._clock()
        with self._lock:
            count = len(self._replicas)
            for step in range(count):
                replica = self._replicas[(self._next + step) % count]
                if replica.ejected_until <= now:
                    self._next = (self._next + step + 1) % count
                    return replica
            return min(self._replicas, key=lambda replica: replica.ejected_until)

    def any_up(self) -> bool:
        """True where one at least is not left out now."""
        now = self._clock()
        with self._lock:
            return any(replica.ejected_until <= now for replica in self._replicas)

    def eject(self, replica: Replica) -> None:
        """Leaves out a replica that does not answer."""
        with self._lock:
            delay = min(EJECTION_SECONDS * 2**replica.failures, MAX_EJECTION_SECONDS)
            replica.failures = min(replica.failures + 1, 10)
            replica.ejected_until = self._clock() + delay
            replica.towers = {}
        _LOG.warning("%s does not answer: left out for %.1f s", replica.url, delay)

    def answered(self, replica: Replica) -> None:
        """Takes a replica back in turn."""
        with self._lock:
            replica.failures = 0
            replica.ejected_until = 0.0
            self.down = False
