"""`iq-client serve`."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner
from tests.client.cli.conftest import COMMAND, environment

from iq_client import LocalServer
from iq_client.cli import cli

pytestmark = pytest.mark.slow  # starts servers of its own


@contextlib.contextmanager
def serving(
    repository: Path, *arguments: object
) -> Iterator[tuple[list[str], subprocess.Popen[str]]]:
    """The lines that `serve` writes until it is ready, later ones too, and its process."""
    process = subprocess.Popen(
        [
            *COMMAND,
            "serve",
            "--port",
            "0",
            "--metrics-port",
            "0",
            "--startup-timeout",
            "300",
            *map(str, arguments),
        ],
        env=environment(IQ_MODEL_REPOSITORY=str(repository)),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("metrics:"):  # the last one
            break
    rest = threading.Thread(target=lines.extend, args=(process.stderr,))
    rest.start()
    try:
        yield lines, process
    finally:
        process.terminate()
        process.wait()
        rest.join()
        process.stderr.close()


def address(lines: list[str]) -> str:
    found = re.search("ready: iq-client rank --url (.*) photos/", "".join(lines))
    assert found is not None
    return found[1]


def test_serve_until_a_signal(stub_repository: Path, photos: Path) -> None:
    with serving(stub_repository, "--http-port", "0", "-v") as (lines, process):
        result = CliRunner().invoke(cli, ["score", str(photos), "--url", address(lines)])
        assert result.exit_code == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    text = "".join(lines)
    assert "Started GRPCInferenceService" in text
    assert re.search(r"HTTP: http://127.0.0.1:\d+", text)
    assert "stopping" in text
    assert CliRunner().invoke(cli, ["info", "--url", address(lines)]).exit_code == 3


def test_serve_with_certificates(stub_repository: Path, photos: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for name in ("photos.example", "client"):
        issued = authority.issue_cert(name)
        issued.cert_chain_pems[0].write_to_path(str(tmp_path / f"{name}.pem"))
        issued.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
    ca = str(tmp_path / "ca.pem")
    server: list[object] = ["--certificate", tmp_path / "photos.example.pem"]
    server += ["--key", tmp_path / "photos.example.key", "--client-ca", ca]
    with serving(stub_repository, *server) as (lines, _):
        trusting = ["score", str(photos), "--url", address(lines), "--ca", ca]
        trusting += ["--server-name", "photos.example"]
        client = ["--certificate", str(tmp_path / "client.pem")]
        client += ["--key", str(tmp_path / "client.key")]
        assert CliRunner().invoke(cli, trusting).exit_code == 3
        assert CliRunner().invoke(cli, [*trusting, *client]).exit_code == 0


def test_serve_says_why_it_does_not_start(stub_server: LocalServer, stub_repository: Path) -> None:
    port = stub_server.url.rpartition(":")[2]
    result = CliRunner().invoke(
        cli, ["serve", "--port", port, "--model-repository", str(stub_repository)]
    )
    assert result.exit_code == 3
    assert "in use" in result.stderr


def test_other_machines_need_the_token(stub_repository: Path, photos: Path) -> None:
    refused = CliRunner().invoke(
        cli, ["serve", "--host", "0.0.0.0", "--model-repository", str(stub_repository)]
    )
    assert refused.exit_code == 3
    assert "--token" in refused.stderr and "--insecure" in refused.stderr
    with serving(stub_repository, "--host", "0.0.0.0", "--token", "s3cret") as (lines, _):
        assert "open to other machines at 0.0.0.0: whoever has the token" in "".join(lines)
        score = ["score", str(photos), "--url", address(lines)]
        assert CliRunner().invoke(cli, [*score, "--token", "s3cret"]).exit_code == 0
        stranger = CliRunner().invoke(cli, [*score, "--token", "guess"])
        assert stranger.exit_code == 3
        assert "token" in stranger.stderr
