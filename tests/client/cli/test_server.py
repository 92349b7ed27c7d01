"""The server that a command uses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from tests.client.cli.conftest import COMMAND, Run, environment
from tests.client.conftest import children_of
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


@pytest.mark.slow  # starts a server of its own
def test_a_command_goes_on_after_its_server_was_killed(
    stub_repository: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(400):
        (folder / f"{index:03}.jpg").write_bytes(b"photo %d" % index)
    command = ["score", str(folder), "--local", "--format", "jsonl"]
    with subprocess.Popen(
        [*COMMAND, *command, "--batch-size", "2", "--in-flight", "1"],
        env=environment(IQ_MODEL_REPOSITORY=str(stub_repository)),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        rows = [json.loads(process.stdout.readline())]
        (triton,) = (
            pid
            for pid in children_of(process.pid)
            if Path(f"/proc/{pid}/exe").readlink().name == "tritonserver"
        )
        os.kill(triton, signal.SIGKILL)
        rows += map(json.loads, process.stdout)
    assert process.returncode == 0
    assert [Path(row["source"]).name for row in rows] == [f"{i:03}.jpg" for i in range(400)]
    assert all(row["error"] is None for row in rows)
    assert len({row["mean"] for row in rows}) > 1
