"""Photos and scores in S3: moto's server on the loopback, and requests to it that go wrong."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from tests.client.bulk.conftest import ROOT, rows
from tests.client.cli.conftest import COMMAND, environment
from tests.client.faulty import FaultyServer, faulty_mean

from iq_client.bulk import manifest
from iq_client.bulk.store import Folder, open_folder

config = pytest.importorskip("fsspec.config")
pytest.importorskip("s3fs")

PHOTOS = 40
_READ_SECONDS = 1


class Store:
    """An S3 whose answers a test may spoil.

    Attributes:
        fault: Called with the method and path of each request to photos or scores: it gives a
            status to answer with, raises to break the connection off, or waits.
    """

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        self.fault: Callable[[str, str], int | None] = lambda method, path: None
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.options = {
            "endpoint_url": f"http://127.0.0.1:{self._server.server_port}",
            "key": "test",
            "secret": "test",
            "config_kwargs": {"read_timeout": _READ_SECONDS, "connect_timeout": 60},
        }

    def __enter__(self) -> Store:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        status = self.fault(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        if status is None:
            answer: Iterable[bytes] = self._moto(environ, start_response)
            return answer
        start_response(f"{status} injected", [("Content-Type", "application/xml")])
        code = "SlowDown" if status == 503 else "InternalError"
        return [f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with Store() as store:
        monkeypatch.setitem(config.conf, "s3", store.options)
        monkeypatch.setenv("FSSPEC_S3", json.dumps(store.options))
        fs = open_folder("s3://photos").fs
        for bucket in ("s3://photos", "s3://scores"):
            if fs.exists(bucket):  # moto's store is that of the process
                fs.rm(bucket, recursive=True)
            fs.mkdir(bucket)
        fs.pipe({f"photos/{number:05}.jpg": b"x" * (1 + number % 11) for number in range(PHOTOS)})
        yield store


def run(server: FaultyServer, *more: str) -> tuple[int, str]:
    done = subprocess.run(
        [*COMMAND, "bulk", "s3://photos", "--output", "s3://scores/run", "--shard-size", "10",
         "--url", server.url, "--workers", "1", *more],
        env=environment(), cwd=ROOT, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def scores(output: Folder) -> list[dict[str, Any]]:
    made = manifest.load(output)
    assert made is not None
    return rows(output, made)


def assert_whole(output: Folder, without: frozenset[int] = frozenset()) -> None:
    found = scores(output)
    assert [row["id"] for row in found] == [f"s3://photos/{n:05}.jpg" for n in range(PHOTOS)]
    expected = [None if n in without else faulty_mean(1 + n % 11) for n in range(PHOTOS)]
    assert [row["mean"] for row in found] == expected
    assert len(set(expected)) > 3


def test_only_the_first_creates(store: Store) -> None:
    folder = open_folder("s3://scores/run")
    assert folder.create("a", b"one")
    assert not folder.create("a", b"two")
    assert folder.read("a") == b"one"
    assert folder.names() == {"a"}


def test_of_many_that_create_at_once_one_succeeds(store: Store) -> None:
    folder = open_folder("s3://scores/run")
    looked = threading.Barrier(4)

    def fault(method: str, path: str) -> None:
        if method == "PUT":
            looked.wait()  # until all have seen that there is none yet

    store.fault = fault
    created: list[int] = []

    def create(number: int) -> None:
        if folder.create("a", b"%d" % number):
            created.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [b"%d" % number for number in created] == [folder.read("a")]


@pytest.mark.slow
def test_errors_and_time_outs_of_the_store_cost_nothing(
    store: Store, scoring: FaultyServer
) -> None:
    numbers = itertools.count(1)
    met: set[str] = set()

    def fault(method: str, path: str) -> int | None:
        number = next(numbers)
        if number % 9 == 0:
            met.add("slow down")
            return 503
        if number % 11 == 0:
            met.add("broken off")
            raise ConnectionAbortedError("injected")
        if number in (20, 45):
            met.add("late")
            time.sleep(3 * _READ_SECONDS)
        return None

    store.fault = fault
    status, errors = run(scoring)
    store.fault = lambda method, path: None
    assert status == 0, errors
    assert met == {"slow down", "broken off", "late"}
    assert_whole(open_folder("s3://scores/run"))


@pytest.mark.slow
def test_a_photo_that_the_store_withholds_is_a_row_that_can_be_scored_later(
    store: Store, scoring: FaultyServer
) -> None:
    output = open_folder("s3://scores/run")
    store.fault = lambda method, path: 403 if path.endswith("/00013.jpg") else None
    status, errors = run(scoring)
    assert status == 0, errors
    assert_whole(output, without=frozenset([13]))
    assert scores(output)[13]["error_code"] == "NOT_READABLE"
    store.fault = lambda method, path: None
    assert run(scoring)[0] == 0
    assert run(scoring, "--retry-errors")[0] == 0
    assert_whole(output)


@pytest.mark.slow
def test_an_output_that_cannot_be_written_ends_the_run(store: Store, scoring: FaultyServer) -> None:

    def fault(method: str, path: str) -> int | None:
        return 403 if method == "PUT" and path.endswith("00002.parquet") else None

    store.fault = fault
    status, errors = run(scoring)
    assert status == 3
    assert "cannot write scores/run/00002.parquet" in errors
    store.fault = lambda method, path: None
    assert run(scoring)[0] == 0
    assert_whole(open_folder("s3://scores/run"))
