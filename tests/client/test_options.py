"""Options of both clients."""

from __future__ import annotations

from typing import Any

import pytest
from tests.client.fakes import FakeTransport
from tests.client.faulty import FaultyServer

from iq_client import AsyncClient, Client, LocalServer


def test_the_url_of_the_environment(
    stub_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IQ_URL", f"{stub_server.url} {stub_server.url}")
    with Client() as client:
        assert client.urls == [stub_server.url] * 2
        assert client.score_images(b"x")[0].ok
    monkeypatch.delenv("IQ_URL")
    with Client() as client:
        assert client.urls == ["localhost:8001"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"max_request_bytes": 0},
        {"max_request_bytes": 2**31},
        {"in_flight": 0},
        {"timeout": 0},
        {"deadline": -1.0},
        {"shrink_to": 0},
        {"array_encoding": "jpeg"},
        {"url": []},
        {"url": "localhost:8001", "transport": FakeTransport()},
    ],
)
def test_options_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).replace("url", "URL")):
        Client(**wrong)


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_a_mistyped_option_is_reported_by_the_client_in_use(client: type) -> None:
    with pytest.raises(TypeError, match=rf"^{client.__name__}\.__init__\(\) .*'tiemout'"):
        client(tiemout=1)


def test_a_client_may_be_extended() -> None:
    class Mine(Client):
        def __init__(self) -> None:
            super().__init__("somewhere:1")

    assert Mine().urls == ["somewhere:1"]


def test_a_client_with_other_options_keeps_the_rest(faulty: FaultyServer) -> None:
    headers = {"x-who": "me"}
    with (
        Client(faulty.url, headers=headers, batch_size=1) as client,
        client.with_options(model="aesthetic") as other,
    ):
        assert all(score.ok for score in other.score_images([b"x", b"y"]))
        assert faulty.headers["x-who"] == "me"
        assert {request.model_name for request in faulty.requests} == {"aesthetic"}
        assert len(faulty.requests) == 2
        other.close()
        assert client.score_images(b"x")[0].ok
        assert faulty.requests[-1].model_name == "nima"


def test_a_client_with_options_that_there_are_none_of_is_refused(faulty: FaultyServer) -> None:
    with Client(faulty.url) as client:
        with pytest.raises(TypeError, match="colour"):
            client.with_options(colour="red")
        with pytest.raises(ValueError, match="deadline"):
            client.with_options(deadline=0)
