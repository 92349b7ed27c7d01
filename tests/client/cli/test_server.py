"""The server that a command uses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.client.cli.conftest import COMMAND, Run, environment
from tests.client.faulty import FaultyServer


def test_without_a_url_the_embedded_server_starts(photos: Path, stub_repository: Path) -> None:
    run = subprocess.run(
        [*COMMAND, "rank", str(photos), "--top", "1"],
        env=environment(IQ_MODEL_REPOSITORY=str(stub_repository)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no --url and no IQ_URL: starting the embedded server" in run.stderr
    assert len(run.stdout.splitlines()) == 3


@pytest.mark.parametrize(
    ("options", "header"),
    [
        (["--token", "secret"], ("authorization", "Bearer secret")),
        (["--header", "Triton-GRPC-Token: secret"], ("triton-grpc-token", "secret")),
    ],
)
def test_headers_reach_the_server(
    run: Run, faulty: FaultyServer, photos: Path, options: list[str], header: tuple[str, str]
) -> None:
    result = run("score", photos, "--url", faulty.url, *options)
    assert header in faulty.headers.items()
    assert "secret" not in result.output


def test_a_server_that_refuses_is_no_server(run: Run, faulty: FaultyServer, photos: Path) -> None:
    faulty.ready_after = 100_000
    assert "no model `nima`" in run("score", photos, "--url", faulty.url, code=3).stderr
