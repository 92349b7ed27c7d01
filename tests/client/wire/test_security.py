"""TLS, mTLS and tokens against the real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from iq_client import (
    TLS,
    AccessDenied,
    Client,
    LocalServer,
    RetryPolicy,
    ServerTLS,
    ServerUnavailable,
)

ONCE = RetryPolicy(attempts=1)


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
    with LocalServer(stub_repository, tls=tls) as server:
        yield server


@pytest.fixture(scope="module")
def mtls_server(stub_repository: Path, certificates: Certificates) -> Iterator[LocalServer]:
    tls = ServerTLS(certificates.server, certificates.server_key, certificates.ca)
    with LocalServer(stub_repository, tls=tls) as server:
        yield server


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


def test_mtls(mtls_server: LocalServer, certificates: Certificates) -> None:
    tls = TLS(
        ca=certificates.ca,
        certificate=certificates.client,
        key=certificates.client_key,
        server_name="photos.example",
    )
    with Client(mtls_server.url, tls=tls) as client:
        assert client.score_images(b"x")[0].ok


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


@pytest.mark.parametrize("protected", ["health,metadata,model-config,inference", "inference"])
def test_a_token(stub_repository: Path, protected: str) -> None:
    # Triton looks for the header with this prefix.
    with LocalServer(
        stub_repository, extra_arguments=(f"--grpc-restricted-protocol={protected}:token=secret",)
    ) as server:
        with Client(server.url, headers={"Triton-GRPC-Protocol-Token": "secret"}) as client:
            assert client.score_images(b"x")[0].ok
        for headers in ({}, {"triton-grpc-protocol-token": "guess"}):
            with Client(server.url, headers=headers, retry=ONCE) as client:
                if protected == "inference":
                    (score,) = client.score_images(b"x")
                    assert score.error is not None and score.error.code == "PERMISSION_DENIED"
                else:
                    with pytest.raises(AccessDenied, match="token"):
                        client.score_images(b"x")
