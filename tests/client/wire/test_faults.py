"""Servers and networks that misbehave: nothing lost, nothing doubled, order kept."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2, service_pb2_grpc

from iq_client import (
    Client,
    ContractError,
    LocalServer,
    NotReadyError,
    RetryPolicy,
    Score,
    ServerUnavailable,
)

Mean = Callable[[bytes], float]

QUICK = RetryPolicy(first_delay=0.001, max_delay=0.01)


class FaultyServer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Keeps the contract (an image's mean is its length modulo 8, plus 1) until told otherwise.

    `fault` is called with the number of the request (from 0), the request and its context: it may
    abort, sleep, or return a function that damages the response.
    """

    def __init__(self, port: int = 0, max_message: int = -1) -> None:
        self.fault: Callable[[int, Any, Any], Callable[[Any], None] | None] = (
            lambda number, request, context: None
        )
        self.requests: list[Any] = []
        self.ready = True
        self.shape = [-1, 10]
        self._server = grpc.server(
            futures.ThreadPoolExecutor(16),
            options=[("grpc.max_receive_message_length", max_message), ("grpc.so_reuseport", 0)],
        )
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, self._server)
        self.url = f"127.0.0.1:{self._server.add_insecure_port(f'127.0.0.1:{port}')}"
        self._lock = threading.Lock()

    def __enter__(self) -> FaultyServer:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ModelReadyResponse(ready=self.ready)

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        metadata = service_pb2.ModelMetadataResponse(name="nima", versions=["1"])
        metadata.inputs.add(name="IMAGE", datatype="BYTES", shape=[-1, 1])
        for name, datatype, shape in (
            ("DISTRIBUTION", "FP32", self.shape),
            ("MEAN", "FP32", [-1, 1]),
            ("STD", "FP32", [-1, 1]),
            ("ERROR", "BYTES", [-1, 1]),
        ):
            metadata.outputs.add(name=name, datatype=datatype, shape=shape)
        return metadata

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer = service_pb2.ModelConfigResponse()
        answer.config.max_batch_size = 64
        return answer

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._lock:
            number = len(self.requests)
            self.requests.append(request)
        damage = self.fault(number, request, context)
        lengths = lengths_of(request)
        response = service_pb2.ModelInferResponse(model_name="nima", id=request.id)
        means = [faulty_mean(length) for length in lengths]
        for name, datatype, width, content in (
            ("DISTRIBUTION", "FP32", 10, struct.pack("<10f", *[0.1] * 10) * len(means)),
            ("MEAN", "FP32", 1, struct.pack(f"<{len(means)}f", *means)),
            ("STD", "FP32", 1, struct.pack(f"<{len(means)}f", *[1.0] * len(means))),
            ("ERROR", "BYTES", 1, bytes(4 * len(means))),
        ):
            response.outputs.add(name=name, datatype=datatype, shape=[len(means), width])
            response.raw_output_contents.append(content)
        if damage is not None:
            damage(response)
        return response


def faulty_mean(length: int) -> float:
    return 1.0 + length % 8


def lengths_of(request: Any) -> list[int]:
    content = request.raw_input_contents[0]
    lengths, offset = [], 0
    while offset < len(content):
        (length,) = struct.unpack_from("<I", content, offset)
        lengths.append(length)
        offset += 4 + length
    return lengths


def abort(code: grpc.StatusCode, text: str = "injected") -> Callable[[int, Any, Any], None]:
    def fault(number: int, request: Any, context: Any) -> None:
        context.abort(code, text)

    return fault


def codes_of(scores: list[Score]) -> set[str | None]:
    return {score.error.code if score.error else None for score in scores}


IMAGES = [b"x" * length for length in range(100)]
EXPECTED = [faulty_mean(length) for length in range(100)]

# ---- a server that answers with faults ----

transient = st.sampled_from(
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        None,
    ]
)


@settings(deadline=None, max_examples=40)
@given(
    faults=st.lists(transient, max_size=60),
    batch_size=st.integers(1, 64),
    in_flight=st.none() | st.integers(1, 6),
)
def test_transient_faults_are_retried(
    faults: list[grpc.StatusCode | None], batch_size: int, in_flight: int | None
) -> None:
    def fault(number: int, request: Any, context: Any) -> None:
        if number < len(faults) and (code := faults[number]) is not None:
            context.abort(code, "injected")

    patient = RetryPolicy(attempts=100, timeouts=100, first_delay=0.001, max_delay=0.002)
    with FaultyServer() as server:
        server.fault = fault
        with Client(
            server.url, batch_size=batch_size, in_flight=in_flight, retry=patient
        ) as client:
            scores = client.score_images(IMAGES)
    assert [score.mean for score in scores] == EXPECTED
    assert [score.source for score in scores] == [f"image[{i}]" for i in range(100)]


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_tries_are_counted(code: str) -> None:
    with FaultyServer() as server, Client(server.url, retry=RetryPolicy(3, 1, 0.001)) as client:
        server.fault = abort(grpc.StatusCode[code])
        assert codes_of(client.score_images(b"x")) == {code}
        assert len(server.requests) == 3
        # All tries of one request are the same request, by its id as well.
        assert len({request.id for request in server.requests}) == 1


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "NOT_FOUND", "UNAUTHENTICATED"])
def test_lasting_faults_are_not_retried(code: str) -> None:
    with FaultyServer() as server, Client(server.url, retry=QUICK) as client:
        server.fault = abort(grpc.StatusCode[code])
        assert codes_of(client.score_images(IMAGES[:10])) == {code}
        assert len(server.requests) == 1


def test_a_poisonous_image_is_set_apart() -> None:
    def fault(number: int, request: Any, context: Any) -> None:
        if 13 in lengths_of(request):
            context.abort(grpc.StatusCode.INTERNAL, "the model crashed")

    with FaultyServer() as server, Client(server.url, retry=QUICK) as client:
        server.fault = fault
        scores = client.score_images(IMAGES)
    failed = [score for score in scores if not score.ok]
    assert [score.source for score in failed] == ["image[13]"]
    assert failed[0].error is not None and failed[0].error.code == "INTERNAL"
    assert [score.mean for score in scores if score.ok] == EXPECTED[:13] + EXPECTED[14:]


def test_a_request_too_large_for_the_server_is_divided() -> None:
    images = [bytes(length) for length in (30_000, 30_000, 90_000, 30_000)]
    with FaultyServer(max_message=64_000) as server, Client(server.url, retry=QUICK) as client:
        scores = client.score_images(images)
    assert [score.ok for score in scores] == [True, True, False, True]
    assert codes_of(scores) == {None, "RESOURCE_EXHAUSTED"}


def test_a_dead_server_costs_the_patience_of_one_request() -> None:
    with FaultyServer() as server:
        policy = RetryPolicy(attempts=6, first_delay=0.1, multiplier=1.0, jitter=0.0)
        with Client(server.url, batch_size=1, in_flight=1, retry=policy) as client:
            client.score_images(b"x")
            server.fault = abort(grpc.StatusCode.UNAVAILABLE)
            assert codes_of(client.score_images(IMAGES)) == {"UNAVAILABLE"}
            # The three that are worked on at once are patient; the others try once.
            assert len(server.requests) <= 1 + 3 * 6 + 97
            server.fault = lambda number, request, context: None
            assert codes_of(client.score_images(IMAGES)) == {None}


def wrong_shape(response: Any) -> None:
    response.outputs[0].shape[1] = 5


def too_few(response: Any) -> None:
    response.raw_output_contents[1] = response.raw_output_contents[1][:-4]


def nothing(response: Any) -> None:
    response.Clear()


@pytest.mark.parametrize("damage", [wrong_shape, too_few, nothing])
def test_a_wrong_response_costs_its_own_images_only(damage: Callable[[Any], None]) -> None:
    with FaultyServer() as server:
        server.fault = lambda number, request, context: damage if 5 in lengths_of(request) else None
        with Client(server.url, batch_size=10, retry=QUICK) as client:
            scores = client.score_images(IMAGES)
    assert codes_of(scores[:10]) == {"BAD_RESPONSE"}
    assert [score.mean for score in scores[10:]] == EXPECTED[10:]


def test_a_slow_try_is_given_up_and_repeated() -> None:
    def fault(number: int, request: Any, context: Any) -> None:
        if number == 0:
            time.sleep(3)

    with FaultyServer() as server:
        server.fault = fault
        with Client(server.url, timeout=0.5) as client:
            assert client.score_images(b"x")[0].ok
    assert len(server.requests) == 2


def test_the_deadline_of_a_call() -> None:
    over = threading.Event()

    def fault(number: int, request: Any, context: Any) -> None:
        if lengths_of(request) == [3]:
            over.wait(60)

    with FaultyServer() as server:
        server.fault = fault
        with Client(server.url, batch_size=1, in_flight=1, deadline=3.0) as client:
            scores = client.score_images(IMAGES[:10])
            over.set()
            assert scores[0].mean == EXPECTED[0]
            assert codes_of(scores) == {None, "TIMEOUT"}
            assert "whole call" in str(scores[-1].error)
            # The deadline belongs to a call, not to the client.
            assert codes_of(client.score_images(IMAGES[:10])) == {None}


def test_closing_does_not_wait_for_patience() -> None:
    """As after Ctrl-C: the call is not over, the client is closed all the same."""
    with FaultyServer() as server:
        patient = RetryPolicy(first_delay=300, max_delay=300)
        with Client(server.url, batch_size=1, in_flight=1, retry=patient) as client:
            scores = client.iter_scores(IMAGES)
            assert next(scores).ok
            server.fault = abort(grpc.StatusCode.UNAVAILABLE)
            start = time.monotonic()
        assert time.monotonic() - start < 60
        scores.close()  # type: ignore[attr-defined]


def test_timeouts_are_counted() -> None:
    with FaultyServer() as server:
        server.fault = lambda number, request, context: time.sleep(1)
        with Client(server.url, timeout=0.2, retry=RetryPolicy(timeouts=3)) as client:
            assert codes_of(client.score_images(b"x")) == {"DEADLINE_EXCEEDED"}
    assert len(server.requests) == 3


def test_another_contract_is_told_before_anything_is_sent() -> None:
    with FaultyServer() as server, Client(server.url) as client:
        server.shape = [-1, 5]
        with pytest.raises(ContractError, match=r"DISTRIBUTION is FP32 \[-1, 5\]"):
            client.score_images(b"x")
        assert server.requests == []


def test_a_model_that_is_not_ready() -> None:
    with FaultyServer() as server, Client(server.url) as client:
        server.ready = False
        with pytest.raises(NotReadyError, match="wait_until_ready"):
            client.score_images(b"x")
        timer = threading.Timer(0.3, setattr, (server, "ready", True))
        timer.start()
        client.wait_until_ready(10)
        assert client.score_images(b"x")[0].ok
        timer.join()


# ---- replicas ----


def test_replicas_share_the_work() -> None:
    with FaultyServer() as a, FaultyServer() as b, FaultyServer() as c:
        with Client([a.url, b.url, c.url], batch_size=1, in_flight=1) as client:
            assert codes_of(client.score_images(IMAGES[:99])) == {None}
        assert [len(server.requests) for server in (a, b, c)] == [33, 33, 33]


def test_a_dead_replica_is_left_out() -> None:
    with FaultyServer() as a, FaultyServer() as b:
        # Pauses of minutes: only the other replica can make this end in time.
        patient = RetryPolicy(first_delay=300, max_delay=300)
        with Client([a.url, b.url], batch_size=1, retry=patient) as client:
            client.score_images(IMAGES[:10])
            a.fault = abort(grpc.StatusCode.UNAVAILABLE)
            before = len(a.requests)
            scores = client.score_images(IMAGES)
            assert [score.mean for score in scores] == EXPECTED
            assert len(a.requests) - before < 20
            # It is back in turn some time after it answers again.
            a.fault = lambda number, request, context: None
            before = len(a.requests)
            end = time.monotonic() + 20
            while len(a.requests) == before and time.monotonic() < end:
                client.score_images(IMAGES[:2])
                time.sleep(0.05)
            assert len(a.requests) > before


def test_one_replica_is_enough_to_begin() -> None:
    with FaultyServer() as server, Client(["127.0.0.1:9", server.url], retry=QUICK) as client:
        assert [score.mean for score in client.score_images(IMAGES)] == EXPECTED
    with Client(["127.0.0.1:9", "127.0.0.1:11"]) as client, pytest.raises(ServerUnavailable):
        client.score_images(b"x")


def test_all_addresses_of_a_name_are_asked() -> None:
    with FaultyServer() as server:
        port = server.url.rpartition(":")[2]
        with Client(f"dns:///localhost:{port}") as client:
            assert [score.mean for score in client.score_images(IMAGES)] == EXPECTED


# ---- a network that misbehaves ----


class FaultyNetwork:
    """Forwards connections to a server; `mode` decides what happens to what comes next.

    `pass` forwards; `delay` forwards after 50 ms; `reset` breaks connections off in the middle of
    what they carry; `silent` keeps connections open and forwards nothing, as a network does that
    loses packets without a word.
    """

    def __init__(self, upstream: str) -> None:
        host, _, port = upstream.rpartition(":")
        self._upstream = (host, int(port))
        self.mode = "pass"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._connections: list[tuple[socket.socket, socket.socket]] = []

    def __enter__(self) -> FaultyNetwork:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.reset()

    def reset(self) -> None:
        """Breaks all connections off."""
        for pair in self._connections:
            for side in pair:
                with contextlib.suppress(OSError):
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    side.shutdown(socket.SHUT_RDWR)
                side.close()
        self._connections.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._upstream)
            except OSError:
                return
            self._connections.append((client, server))
            # A connection that was silenced stays so, whatever becomes of later ones.
            silenced = threading.Event()
            for source, target in ((client, server), (server, client)):
                threading.Thread(
                    target=self._forward, args=(source, target, silenced), daemon=True
                ).start()

    def _forward(
        self, source: socket.socket, target: socket.socket, silenced: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.mode == "silent":
                    silenced.set()
                if silenced.is_set():
                    continue
                if self.mode == "delay":
                    time.sleep(0.05)
                if self.mode == "reset":
                    target.sendall(data[: len(data) // 2])
                    break
                target.sendall(data)
        if not silenced.is_set():
            for side in (source, target):
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def network(stub_server: LocalServer) -> Iterator[FaultyNetwork]:
    with FaultyNetwork(stub_server.url) as network:
        yield network


PHOTOS = [f"photo {i} ".encode() * 500 for i in range(400)]


def test_delays(network: FaultyNetwork, stub_mean: Mean) -> None:
    with Client(network.url) as client:
        network.mode = "delay"
        scores = client.score_images(PHOTOS)
    assert [score.mean for score in scores] == pytest.approx(list(map(stub_mean, PHOTOS)), abs=1e-5)


def test_resets(network: FaultyNetwork, stub_mean: Mean) -> None:
    """Connections break off in the middle of messages, again and again."""
    count = 0

    def disturb(score: Score) -> None:
        nonlocal count
        count += 1
        if count % 80 == 0:
            network.mode = "reset"
            network.reset()
            threading.Timer(0.15, setattr, (network, "mode", "pass")).start()

    with Client(network.url, batch_size=8) as client:
        scores = client.score_images(PHOTOS, on_score=disturb)
    assert count == len(PHOTOS)
    assert [score.mean for score in scores] == pytest.approx(list(map(stub_mean, PHOTOS)), abs=1e-5)


def test_a_half_open_connection_is_noticed(network: FaultyNetwork, stub_mean: Mean) -> None:
    """The connection goes silent for good; keepalive finds out and a new one is made."""
    count = 0

    def disturb(score: Score) -> None:
        nonlocal count
        count += 1
        if count == 40:
            network.mode = "silent"
            threading.Timer(0.5, setattr, (network, "mode", "pass")).start()

    # No try runs into its timeout before the minute: what helps is keepalive alone.
    with Client(network.url, batch_size=8, timeout=60, keepalive=1.0) as client:
        start = time.monotonic()
        scores = client.score_images(PHOTOS, on_score=disturb)
    assert time.monotonic() - start < 50
    assert [score.mean for score in scores] == pytest.approx(list(map(stub_mean, PHOTOS)), abs=1e-5)


# ---- a real server that dies ----


def test_a_crashed_model_leaves_the_work_to_the_other_replica() -> None:
    """Triton's Python backend does not come back by itself; it says so with INTERNAL."""
    with FaultyServer() as a, FaultyServer() as b, Client([a.url, b.url], retry=QUICK) as client:
        a.fault = abort(grpc.StatusCode.INTERNAL, "Stub process 'nima_0_0' is not healthy.")
        assert [score.mean for score in client.score_images(IMAGES)] == EXPECTED


def test_a_server_killed_and_restarted_in_the_middle(stub_repository: Any, stub_mean: Mean) -> None:
    images = [b"sleep:0.002:%d" % number for number in range(2000)]
    told: list[str] = []
    restarts: list[threading.Thread] = []
    with LocalServer(stub_repository) as server:

        def disturb(score: Score) -> None:
            told.append(score.source)
            if len(told) in (500, 1300):
                os.kill(server.pid, signal.SIGKILL)
                server.wait()
                restarts.append(threading.Timer(1.0, server.start))
                restarts[-1].start()

        with Client(server.url, batch_size=16) as client:
            scores = client.score_images(images, on_score=disturb)
        for restart in restarts:
            restart.join()
    assert len(restarts) == 2
    assert told == [f"image[{number}]" for number in range(2000)]
    assert [score.error for score in scores] == [None] * 2000
    assert [score.mean for score in scores] == pytest.approx(list(map(stub_mean, images)), abs=1e-5)


def test_a_server_that_stays_away_leaves_what_was_scored(
    stub_repository: Any, stub_mean: Mean
) -> None:
    images = [b"sleep:0.002:%d" % number for number in range(600)]
    seen = 0
    with LocalServer(stub_repository) as server:

        def disturb(score: Score) -> None:
            nonlocal seen
            seen += 1
            if seen == 100:
                os.kill(server.pid, signal.SIGKILL)

        policy = RetryPolicy(attempts=4, first_delay=0.05)
        with Client(server.url, batch_size=16, retry=policy) as client:
            scores = client.score_images(images, on_score=disturb)
    assert len(scores) == 600
    assert all(score.ok for score in scores[:100])
    assert codes_of(scores[-100:]) == {"UNAVAILABLE"}
    for score, data in zip(scores, images, strict=True):
        assert not score.ok or score.mean == pytest.approx(stub_mean(data), abs=1e-5)
