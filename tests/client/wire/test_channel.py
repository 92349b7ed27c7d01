"""Connections: TLS, mTLS, and a network that misbehaves."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.client.conftest import Mean
from tests.client.faulty import PATIENT, FaultyServer
from tests.client.network import FaultyNetwork

from iq_client import (
    TLS,
    AccessDenied,
    Client,
    ConnectError,
    LocalServer,
    Score,
    ServerTLS,
    ServerUnavailable,
)
from iq_client.wire.channel import MAX_ANSWER_BYTES, proxy_of


@pytest.fixture
def network(stub_server: LocalServer) -> Iterator[FaultyNetwork]:
    with FaultyNetwork(stub_server.url) as network:
        yield network


PHOTOS = [f"photo {i} ".encode() * 500 for i in range(400)]


def test_a_slow_network(network: FaultyNetwork, stub_mean: Mean) -> None:
    with Client(network.url, retry=PATIENT) as client:
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

    with Client(network.url, batch_size=8, retry=PATIENT) as client:
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
            network.silence()

    # No try ever runs into a timeout: without keepalive this would wait for ever.
    with Client(network.url, batch_size=8, timeout=None, keepalive=1.0, retry=PATIENT) as client:
        scores = client.score_images(PHOTOS, on_score=disturb)
    assert [score.mean for score in scores] == pytest.approx(list(map(stub_mean, PHOTOS)), abs=1e-5)


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority, a server and a client signed by it, and a stranger's."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path
    stranger_ca: Path
    stranger: Path
    stranger_key: Path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    ours, theirs = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(str(folder / "ca.pem"))
    theirs.cert_pem.write_to_path(str(folder / "stranger_ca.pem"))
    for name, authority in (("server", ours), ("client", ours), ("stranger", theirs)):
        issued = authority.issue_cert("photos.example" if name == "server" else name)
        issued.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
        issued.private_key_pem.write_to_path(str(folder / f"{name}_key.pem"))
    names = (
        "ca", "server", "server_key", "client", "client_key",
        "stranger_ca", "stranger", "stranger_key",
    )  # fmt: skip
    return Certificates(**{name: folder / f"{name}.pem" for name in names})


@pytest.fixture(scope="module")
def tls_server(stub_repository: Path, certificates: Certificates) -> Iterator[LocalServer]:
    tls = ServerTLS(certificates.server, certificates.server_key)
    with LocalServer(stub_repository, tls=tls, startup_timeout=300) as server:
        yield server


@pytest.fixture(scope="module")
def mtls_server(stub_repository: Path, certificates: Certificates) -> Iterator[LocalServer]:
    tls = ServerTLS(certificates.server, certificates.server_key, certificates.ca)
    with LocalServer(stub_repository, tls=tls, startup_timeout=300) as server:
        yield server


@pytest.mark.slow  # starts a server of its own
def test_tls(tls_server: LocalServer, certificates: Certificates) -> None:
    tls = TLS(ca=certificates.ca, server_name="photos.example")
    with Client(tls_server.url, tls=tls) as client:
        assert client.score_images(b"x")[0].ok


@pytest.mark.slow  # starts a server of its own
@pytest.mark.parametrize(
    ("flaw", "advice"),
    [
        ("plain", "does it want TLS"),
        ("unknown authority", r"TLS\(ca="),
        ("wrong name", r"TLS\(server_name="),
        ("system's", r"TLS\(ca="),
    ],
)
def test_tls_refuses(
    tls_server: LocalServer, certificates: Certificates, flaw: str, advice: str
) -> None:
    tls = {
        "plain": None,
        "unknown authority": TLS(ca=certificates.stranger_ca, server_name="photos.example"),
        "wrong name": TLS(ca=certificates.ca, server_name="other.example"),
        "system's": TLS(server_name="photos.example"),
    }[flaw]
    with Client(tls_server.url, tls=tls) as client, pytest.raises(ServerUnavailable, match=advice):
        client.score_images(b"x")


def test_a_server_without_tls(stub_server: LocalServer, certificates: Certificates) -> None:
    with (
        Client(stub_server.url, tls=TLS(ca=certificates.ca)) as client,
        pytest.raises(ServerUnavailable, match="speaks no TLS"),
    ):
        client.score_images(b"x")


@pytest.mark.slow  # starts a server of its own
def test_mtls(mtls_server: LocalServer, certificates: Certificates) -> None:
    tls = TLS(
        ca=certificates.ca,
        certificate=certificates.client,
        key=certificates.client_key,
        server_name="photos.example",
    )
    with Client(mtls_server.url, tls=tls) as client:
        assert client.score_images(b"x")[0].ok


@pytest.mark.slow  # starts a server of its own
@pytest.mark.parametrize("stranger", [True, False])
def test_mtls_refuses(mtls_server: LocalServer, certificates: Certificates, stranger: bool) -> None:
    tls = TLS(
        ca=certificates.ca,
        certificate=certificates.stranger if stranger else None,
        key=certificates.stranger_key if stranger else None,
        server_name="photos.example",
    )
    with Client(mtls_server.url, tls=tls) as client, pytest.raises(ServerUnavailable, match="mTLS"):
        client.score_images(b"x")


def test_mtls_needs_both_files(certificates: Certificates) -> None:
    with pytest.raises(ValueError, match="key"):
        TLS(certificate=certificates.client)


class Http(http.server.BaseHTTPRequestHandler):
    """A listener on the port for HTTP, and a proxy that lets nothing through."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def http_url() -> Iterator[str]:
    """The address of a server that speaks HTTP/1."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Http) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_port_of_http_is_told_apart(http_url: str) -> None:
    with Client(http_url) as client, pytest.raises(ServerUnavailable, match=r"speaks HTTP/1.*8001"):
        client.score_images(b"x")


@pytest.mark.parametrize("url", ["http://localhost:8001", "HTTPS://score.example/v2"])
def test_an_address_of_http_is_refused(url: str) -> None:
    with pytest.raises(
        ConnectError, match=r"address of HTTP: .* such as (localhost|score.example):"
    ):
        Client(url)
    with pytest.raises(ConnectError, match="address of HTTP"):
        Client(["localhost:8001", url])


@pytest.mark.parametrize("name", ["grpc_proxy", "https_proxy", "http_proxy"])
def test_loopback_is_asked_without_the_proxy(
    name: str, faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    for host in ("127.0.0.1", "localhost"):
        with Client(faulty.url.replace("127.0.0.1", host)) as client:
            assert client.score_images(b"x")[0].ok


def test_a_proxy_that_fails_is_named_without_its_password(
    http_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:secret@{http_url}")
    with (
        Client("192.0.2.1:8001") as client,
        pytest.raises(ServerUnavailable, match=r"proxy .*, from the variable http_") as raised,
    ):
        client.score_images(b"x")
    assert http_url in str(raised.value)
    assert "secret" not in str(raised.value)


def test_the_proxy_of_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert proxy_of("host.example:8001") is None
    monkeypatch.setenv("http_proxy", "http://last:1")
    monkeypatch.setenv("grpc_proxy", "http://first:1")
    assert proxy_of("dns:///host.example:8001") == "first:1, from the variable grpc_proxy"
    for url in ("localhost:8001", "127.0.0.2:8001", "[::1]:8001", "dns:///localhost:8001"):
        assert proxy_of(url) is None
    monkeypatch.setenv("no_proxy", "other.example, .example")
    assert proxy_of("host.example:8001") is None
    assert proxy_of("host.test:8001") is not None


def test_the_server_is_told_who_asks(faulty: FaultyServer) -> None:
    with Client(faulty.url) as client:
        client.score_images(b"x")
    assert faulty.headers["user-agent"].startswith(f"iq-client/{version('iq-client')} ")


def test_an_answer_without_end_is_refused(faulty: FaultyServer) -> None:
    def damage(response: Any) -> None:
        response.raw_output_contents[0] = bytes(MAX_ANSWER_BYTES + 1)

    faulty.fault = lambda number, request, context: damage
    with Client(faulty.url) as client:
        (score,) = client.score_images(b"x")
    assert score.error is not None
    assert score.error.code == "RESOURCE_EXHAUSTED"
    assert "larger than max" in score.error.message


@pytest.mark.parametrize("kind", ["text", "function"])
def test_a_token_may_change(kind: str, faulty: FaultyServer) -> None:
    tokens = iter(range(100))
    token = "secret" if kind == "text" else lambda: f"token-{next(tokens)}"
    seen = []

    def fault(number: int, request: Any, context: Any) -> None:
        seen.append(dict(context.invocation_metadata())["authorization"])

    faulty.fault = fault
    with Client(faulty.url, token=token, headers={"x-more": "1"}) as client:
        assert client.score_images(b"x")[0].ok
        assert client.score_images(b"x")[0].ok
    assert faulty.headers["x-more"] == "1"
    assert all(each.startswith("Bearer ") for each in seen)
    assert len(set(seen)) == (1 if kind == "text" else 2)


def test_a_token_that_cannot_be_had(faulty: FaultyServer) -> None:
    def token() -> str:
        raise OSError("the vault is shut")

    with Client(faulty.url, token=token) as client, pytest.raises(AccessDenied, match="vault"):
        client.score_images(b"x")
    with pytest.raises(ValueError, match="give one of them"):
        Client(faulty.url, token="a", headers={"Authorization": "b"})
