"""Connections: TLS, mTLS, and a network that misbehaves."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from tests.client.conftest import Mean
from tests.client.faulty import PATIENT

from iq_client import TLS, Client, LocalServer, Score, ServerTLS, ServerUnavailable


class FaultyNetwork:
    """Forwards connections to a server; `mode` decides what happens to what comes next.

    `pass` forwards; `delay` forwards after 50 ms; `reset` breaks the next connection off in the
    middle of what it carries, then passes; `silence` keeps the connections that there are open and
    forwards nothing, as a network does that loses packets without a word.
    """

    def __init__(self, upstream: str) -> None:
        host, _, port = upstream.rpartition(":")
        self._upstream = (host, int(port))
        self.mode = "pass"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._connections: list[tuple[socket.socket, socket.socket]] = []
        self._silenced: list[threading.Event] = []

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

    def silence(self) -> None:
        """Lets nothing through any more on the connections that there are."""
        for silenced in self._silenced:
            silenced.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._upstream)
            except OSError:
                return
            self._connections.append((client, server))
            silenced = threading.Event()
            self._silenced.append(silenced)
            for source, target in ((client, server), (server, client)):
                threading.Thread(
                    target=self._forward, args=(source, target, silenced), daemon=True
                ).start()

    def _forward(
        self, source: socket.socket, target: socket.socket, silenced: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if silenced.is_set():
                    continue
                if self.mode == "delay":
                    time.sleep(0.05)
                if self.mode == "reset":
                    self.mode = "pass"
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
