"""Photos whose scores are known, folders of scores, and what a run of a folder is held against."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.client.faulty import FaultyServer, description, faulty_mean

from iq_client import Client, TowerIdentity
from iq_client.bulk.drivers import Job
from iq_client.bulk.manifest import Manifest
from iq_client.bulk.store import Folder, open_folder
from iq_client.images.inputs import InputOptions

pytest.importorskip("pyarrow")
pytest.importorskip("fsspec")

ROOT = Path(__file__).resolve().parents[3]

MakePhotos: TypeAlias = Callable[[int], list[Path]]


@pytest.fixture
def make_photos(tmp_path: Path) -> MakePhotos:
    """Makes files in `photos/`, in the order of their names, whose lengths and so means differ."""
    folder = tmp_path / "photos"
    folder.mkdir()

    def make(count: int) -> list[Path]:
        paths = [folder / f"{number:05}.jpg" for number in range(count)]
        for number, path in enumerate(paths):
            path.write_bytes(b"x" * (1 + number % 11))
        return paths

    return make


@pytest.fixture
def output(tmp_path: Path) -> Folder:
    """A folder for scores that is not there yet."""
    return open_folder(str(tmp_path / "scores"))


@pytest.fixture
def scoring(faulty: FaultyServer) -> FaultyServer:
    """A server in this process whose tower has a name."""
    faulty.tower = description()
    return faulty


@pytest.fixture
def client(scoring: FaultyServer) -> Iterator[Client]:
    """A client of it, with small batches."""
    with Client(scoring.url, batch_size=4) as client:
        yield client


@pytest.fixture
def tower() -> TowerIdentity:
    """The tower of `scoring`."""
    return TowerIdentity.parse(description())


def job(output: Folder, url: str, **more: Any) -> Job:
    """A job of a server with the tower of `scoring`."""
    return Job(
        output=output.url,
        tower=TowerIdentity.parse(description()),
        urls=(url,),
        model_repository=None,
        client={"batch_size": 4},
        inputs=InputOptions(),
        **more,
    )


def rows(output: Folder, manifest: Manifest) -> list[dict[str, Any]]:
    """The rows of a run in order, from the files of its shards and no others."""
    from pyarrow import parquet

    expected = {shard.file for shard in manifest.shards}
    assert {name for name in output.names() if name.endswith(".parquet")} == expected
    found: list[dict[str, Any]] = []
    for shard in manifest.shards:
        with output.fs.open(output.join(shard.file), "rb") as stream:
            found += parquet.read_table(stream).to_pylist()
    return found


def assert_whole(output: Folder, manifest: Manifest, paths: list[Path]) -> None:
    """No row lost, none doubled, in order, each with the score of its own photo."""
    found = rows(output, manifest)
    assert [row["id"] for row in found] == [str(path) for path in paths]
    means = [row["mean"] for row in found]
    assert means == [faulty_mean(path.stat().st_size) for path in paths]
    assert len(set(means)) > 3


def workers_of(pid: int) -> list[int]:
    """The workers of a driver, which runs in the main thread of a process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


class ServerProcess:
    """A server that may be killed and started again once at the same address."""

    def __init__(self, seconds: float) -> None:
        """Starts it.

        Args:
            seconds: Time that it takes for a request.
        """
        self._command = [sys.executable, "-m", "tests.client.bulk.serve_faulty", str(seconds)]
        # Two from the start: what takes long of a process is done before it is asked for.
        self._process, self._next = self._prepare(), self._prepare()
        self.url = ""
        self._start()

    def _prepare(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start_again(self) -> None:
        """Starts the process that waits."""
        self._process, self._next = self._next, self._process
        self._start()

    def _start(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{self.url.rpartition(':')[2] or 0}\n")
        self._process.stdin.flush()
        self.url = self._process.stdout.readline().strip()

    def kill(self) -> None:
        """Kills the server."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Kills both processes."""
        for process in (self._process, self._next):
            process.kill()
            process.communicate()


@pytest.fixture
def start_server() -> Iterator[Callable[[float], ServerProcess]]:
    """Starts servers, each of which takes so many seconds for a request."""
    with ExitStack() as stack:

        def start(seconds: float = 0.0) -> ServerProcess:
            server = ServerProcess(seconds)
            stack.callback(server.close)
            return server

        yield start
