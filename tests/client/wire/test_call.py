"""One call: its deadline and its cancellation."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from iq_client.errors import RequestFailed
from iq_client.wire.call import Call


def test_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [50.0]
    monkeypatch.setattr("iq_client.wire.call.time", SimpleNamespace(monotonic=lambda: seconds[0]))
    call = Call(10.0)
    assert (call.remaining(), call.remaining(3.0), call.remaining(30.0)) == (10.0, 3.0, 10.0)
    call.check()
    seconds[0] = 61.0
    assert call.remaining() == call.remaining(3.0) == 0.0
    with pytest.raises(RequestFailed) as caught:
        call.check()
    assert caught.value.code == "TIMEOUT"


def test_no_deadline() -> None:
    call = Call(None)
    assert (call.remaining(), call.remaining(3.0)) == (None, 3.0)
    call.check()


def test_cancelling_wakes_those_that_wait() -> None:
    call = Call(None)
    sleeper = threading.Thread(target=call.sleep, args=(100_000.0,))
    sleeper.start()
    call.cancel()
    sleeper.join()
    with pytest.raises(RequestFailed) as caught:
        call.check()
    assert caught.value.code == "CANCELLED"


class Endless:
    """A request that nobody answers."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self.cancel = self._cancelled.set

    def result(self) -> str:
        self._cancelled.wait()
        return "over"


def test_a_request_ends_with_its_call() -> None:
    call = Call(None)
    threading.Timer(0.0, call.cancel).start()
    assert call.wait_for(Endless()) == "over"
    assert call.wait_for(Endless()) == "over"  # one that was begun too late
