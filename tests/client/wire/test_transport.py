"""Batches on their way to servers that misbehave: nothing lost, nothing doubled, order kept."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.client.conftest import Mean
from tests.client.faulty import (
    PATIENT,
    QUICK,
    FaultyServer,
    abort,
    codes_of,
    description,
    faulty_mean,
    lengths_of,
    no_fault,
    until_cancelled,
)

from iq_client import (
    Client,
    ContractError,
    DeadlineExceeded,
    LocalServer,
    NotReadyError,
    RetryPolicy,
    Score,
    ServerUnavailable,
    TowerIdentity,
)

StartFaulty: TypeAlias = Callable[..., FaultyServer]

IMAGES = [b"x" * length for length in range(100)]
EXPECTED = [faulty_mean(length) for length in range(100)]

transient = st.sampled_from(
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        None,
    ]
)


@settings(max_examples=20)
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

    with FaultyServer() as server:
        server.fault = fault
        with Client(
            server.url, batch_size=batch_size, in_flight=in_flight, retry=PATIENT
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
            server.fault = no_fault
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


def test_another_contract_is_told_before_anything_is_sent() -> None:
    with FaultyServer() as server, Client(server.url) as client:
        server.shape = [-1, 5]
        with pytest.raises(ContractError, match=r"DISTRIBUTION is FP32 \[-1, 5\]"):
            client.score_images(b"x")
        assert server.requests == []


def test_replicas_share_the_work() -> None:
    with FaultyServer() as a, FaultyServer() as b, FaultyServer() as c:
        with Client([a.url, b.url, c.url], batch_size=1, in_flight=1) as client:
            assert codes_of(client.score_images(IMAGES[:99])) == {None}
        assert [len(server.requests) for server in (a, b, c)] == [33, 33, 33]


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


def test_a_slow_try_is_given_up_and_repeated(faulty: FaultyServer) -> None:
    def fault(number: int, request: Any, context: Any) -> None:
        if number == 0:
            until_cancelled(context)

    faulty.fault = fault
    with Client(faulty.url, timeout=0.5, retry=PATIENT) as client:
        assert client.score_images(b"x")[0].ok
    assert len(faulty.requests) >= 2


def test_timeouts_are_counted(faulty: FaultyServer) -> None:
    faulty.fault = abort(grpc.StatusCode.DEADLINE_EXCEEDED)
    with Client(faulty.url, retry=RetryPolicy(attempts=10, timeouts=3)) as client:
        assert codes_of(client.score_images(b"x")) == {"DEADLINE_EXCEEDED"}
    assert len(faulty.requests) == 3


def test_a_deadline_ends_a_request_that_hangs(faulty: FaultyServer) -> None:
    faulty.fault = lambda number, request, context: until_cancelled(context)
    with Client(faulty.url, timeout=None, deadline=0.5, retry=PATIENT) as client:
        assert codes_of(client.score_images(b"x")) == {"TIMEOUT"}


def test_a_deadline_ends_the_tries(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [0.0]
    monkeypatch.setattr("iq_client.wire.call.time", SimpleNamespace(monotonic=lambda: seconds[0]))

    def fault(number: int, request: Any, context: Any) -> None:
        if lengths_of(request) == [3]:
            seconds[0] += 1000.0
            context.abort(grpc.StatusCode.UNAVAILABLE, "injected")

    faulty.fault = fault
    with Client(faulty.url, batch_size=1, in_flight=1, deadline=500.0, retry=PATIENT) as client:
        scores = client.score_images(IMAGES[:10])
        assert scores[3].error is not None and scores[3].error.code == "TIMEOUT"
        assert "whole call" in scores[3].error.message
        assert codes_of(scores[6:]) == {"TIMEOUT"}
        # The deadline belongs to a call, not to the client.
        faulty.fault = no_fault
        assert codes_of(client.score_images(IMAGES[:10])) == {None}


def test_closing_does_not_wait_for_patience(faulty: FaultyServer) -> None:
    """As after Ctrl-C: the call is not over, the client is closed all the same."""
    patient = RetryPolicy(first_delay=100_000, max_delay=100_000)
    with Client(faulty.url, batch_size=1, in_flight=1, retry=patient) as client:
        scores = client.iter_scores(IMAGES)
        assert next(scores).ok
        faulty.fault = abort(grpc.StatusCode.UNAVAILABLE)
    scores.close()  # type: ignore[attr-defined]


def test_leaving_early_cancels_the_requests_under_way(faulty: FaultyServer) -> None:
    waiting, cancelled = threading.Event(), threading.Event()

    def fault(number: int, request: Any, context: Any) -> None:
        if lengths_of(request) == [0]:
            waiting.wait()  # the first score is not there before another request is under way
        elif lengths_of(request) == [1]:
            waiting.set()
            until_cancelled(context)
            cancelled.set()

    faulty.fault = fault
    with Client(faulty.url, batch_size=1, in_flight=2, timeout=None) as client:
        scores = client.iter_scores(IMAGES)
        assert next(scores).ok
        scores.close()  # type: ignore[attr-defined]
        cancelled.wait()
        faulty.fault = no_fault
        assert client.score_images(b"x")[0].ok


def test_a_model_that_is_not_ready(faulty: FaultyServer) -> None:
    faulty.ready_after = 4
    with Client(faulty.url) as client:
        with pytest.raises(NotReadyError, match="wait_until_ready"):
            client.score_images(b"x")
        client.wait_until_ready(100_000)
        assert faulty.asked == 5
        assert client.score_images(b"x")[0].ok


def test_waiting_ends_in_time(faulty: FaultyServer) -> None:
    faulty.ready_after = 100_000
    with Client(faulty.url) as client, pytest.raises(DeadlineExceeded, match="no model `nima`"):
        client.wait_until_ready(0.3)


def test_a_dead_replica_is_left_out(start_faulty: StartFaulty) -> None:
    a, b = start_faulty(), start_faulty()
    # Pauses of hours: only the other replica can make this end.
    patient = RetryPolicy(first_delay=10_000, max_delay=10_000)
    with Client([a.url, b.url], batch_size=1, in_flight=1, retry=patient) as client:
        client.score_images(IMAGES[:10])
        a.fault = abort(grpc.StatusCode.UNAVAILABLE)
        assert [score.mean for score in client.score_images(IMAGES)] == EXPECTED


def test_a_crashed_model_leaves_the_work_to_the_other_replica() -> None:
    """Triton's Python backend does not come back by itself; it says so with INTERNAL."""
    with FaultyServer() as a, FaultyServer() as b, Client([a.url, b.url], retry=QUICK) as client:
        a.fault = abort(grpc.StatusCode.INTERNAL, "Stub process 'nima_0_0' is not healthy.")
        assert [score.mean for score in client.score_images(IMAGES)] == EXPECTED


@pytest.mark.slow  # starts a server of its own
def test_a_server_that_stays_away_leaves_what_was_scored(
    stub_repository: Any, stub_mean: Mean
) -> None:
    images = [b"sleep:0.002:%d" % number for number in range(600)]
    seen = 0
    with LocalServer(stub_repository, startup_timeout=300) as server:

        def disturb(score: Score) -> None:
            nonlocal seen
            seen += 1
            if seen == 100:
                assert server._process is not None
                server._process.kill()  # its supervisor, which would start it again

        policy = RetryPolicy(attempts=4, first_delay=0.05)
        with Client(server.url, batch_size=16, retry=policy) as client:
            scores = client.score_images(images, on_score=disturb)
    assert len(scores) == 600
    assert all(score.ok for score in scores[:100])
    assert codes_of(scores[-100:]) == {"UNAVAILABLE"}
    for score, data in zip(scores, images, strict=True):
        assert not score.ok or score.mean == pytest.approx(stub_mean(data), abs=1e-5)


def test_scores_say_whose_they_are(faulty: FaultyServer) -> None:
    faulty.tower = description(quantiles=[1.0, 5.0, 9.0], quantiles_of="photos of a test")
    with Client(faulty.url) as client:
        scores = client.score_images([b"", b"xxx", b"xxxx"])
        assert client.server_info().tower == TowerIdentity.parse(faulty.tower)
    label = TowerIdentity.parse(faulty.tower).label
    found = [(score.mean, score.percentile, score.tower) for score in scores]
    assert found == [(1.0, 0.0, label), (4.0, 37.5, label), (5.0, 50.0, label)]


def test_each_score_is_of_the_replica_that_gave_it(start_faulty: StartFaulty) -> None:
    servers = [start_faulty(), start_faulty()]
    for name, server in zip(("one", "two"), servers, strict=True):
        server.tower = description(name)
    with Client([server.url for server in servers], batch_size=1) as client:
        scores = client.score_images(IMAGES[:10])
    found = [str(score.tower).partition("@")[0] for score in scores]
    assert set(found) == {"one", "two"}
    assert found.count("one") == len(servers[0].requests)


def test_a_server_that_was_away_is_asked_again_for_its_tower(faulty: FaultyServer) -> None:
    faulty.tower = description("before")

    def fault(number: int, request: Any, context: Any) -> None:
        if number == 1:
            faulty.tower = description("after")
            context.abort(grpc.StatusCode.UNAVAILABLE, "injected")

    faulty.fault = fault
    with Client(faulty.url, batch_size=1, in_flight=1, retry=QUICK) as client:
        scores = client.score_images(IMAGES[:3])
    assert [str(score.tower).partition("@")[0] for score in scores] == ["before", "after", "after"]


def test_a_tower_that_is_swapped_between_two_answers_is_named(faulty: FaultyServer) -> None:
    faulty.tower = description("before")

    def fault(number: int, request: Any, context: Any) -> None:
        if number == 1:
            faulty.version, faulty.tower = "2", description("after")

    faulty.fault = fault
    with Client(faulty.url, batch_size=1, in_flight=1) as client:
        scores = client.score_images(IMAGES[:3])
        info = client.server_info()
    assert [str(score.tower).partition("@")[0] for score in scores] == ["before", "after", "after"]
    assert info.tower is not None and info.tower.name == "after"


def test_a_description_that_is_none_is_a_broken_contract(faulty: FaultyServer) -> None:
    faulty.tower = "{}"
    with Client(faulty.url) as client, pytest.raises(ContractError, match="iq-tools repository"):
        client.score_images(b"x")


def test_a_server_that_is_away_does_not_hide_the_others(faulty: FaultyServer) -> None:
    with Client(["127.0.0.1:9", faulty.url]) as client:
        assert client.server_info().url == faulty.url
        assert client.server_info().url == faulty.url


def test_the_model_that_is_asked_may_have_another_name(faulty: FaultyServer) -> None:
    with Client(faulty.url, model="aesthetic", version=3) as client:
        assert client.score_images(b"x")[0].ok
    (request,) = faulty.requests
    assert (request.model_name, request.model_version) == ("aesthetic", "3")


def test_a_model_that_is_missing_is_named(stub_server: LocalServer) -> None:
    with (
        Client(stub_server.url, model="aesthetic") as client,
        pytest.raises(NotReadyError, match="`aesthetic`"),
    ):
        client.score_images(b"x")


def test_an_error_names_its_request_as_the_server_knows_it(faulty: FaultyServer) -> None:
    faulty.fault = abort(grpc.StatusCode.INVALID_ARGUMENT)
    with Client(faulty.url) as client:
        (score,) = client.score_images(b"x")
    (request,) = faulty.requests
    assert score.error is not None
    assert score.error.message == f"injected (request {request.id})"


def test_retries_are_logged_without_the_names_of_photos(
    faulty: FaultyServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photo = tmp_path / "private.jpg"
    photo.write_bytes(b"x")

    def fault(number: int, request: Any, context: Any) -> None:
        if number == 0:
            context.abort(grpc.StatusCode.UNAVAILABLE, "injected")

    faulty.fault = fault
    with (
        caplog.at_level(logging.INFO, logger="iq_client"),
        Client(faulty.url, retry=QUICK) as client,
    ):
        assert client.score_images(photo)[0].ok
    levels = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert ("WARNING", f"{faulty.url} does not answer: left out for 0.5 s") in levels
    name = faulty.requests[0].id
    assert ("INFO", f"request {name}: UNAVAILABLE from {faulty.url}, trying again") in levels
    assert "private" not in caplog.text
