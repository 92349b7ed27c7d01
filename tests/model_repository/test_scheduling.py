"""Requests that wait, and how the configurations make Triton treat them, seen from outside."""

from __future__ import annotations

import io
import re
import shutil
import time
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from PIL import Image
from tests.model_repository.slow import SLOW
from tests.repositories import as_ensemble

from iq_client import Client, LocalServer
from iq_serving.layout import Place
from iq_tools.repository import write_repository

REQUESTS = 60
PREFERRED = {8, 16, 32}
SLOW_FILES = 8  # more than cores
STEPS = ("nima_preprocess", "nima_tower")
# Put behind a model's own code: notes when it was busy.
NOTING = """

import time

_execute = TritonPythonModel.execute


def _noted(self, requests):
    start = time.monotonic()
    try:
        return _execute(self, requests)
    finally:
        with open({path!r}, "a") as file:
            file.write(f"{{start}} {{time.monotonic()}}\\n")


TritonPythonModel.execute = _noted
"""


# Put behind a model's own code: notes how many requests it executes, waits while a file is there.
GATING = """

import os
import time

_execute = TritonPythonModel.execute


def _gated(self, requests):
    with open({sizes!r}, "a") as file:
        file.write(f"{{len(requests)}}\\n")
    while os.path.exists({closed!r}):
        time.sleep(0.01)
    return _execute(self, requests)


TritonPythonModel.execute = _gated
"""


@dataclass(frozen=True)
class Gate:
    """Holds a step's executions up.

    Attributes:
        sizes: File with the number of requests of each execution.
        closed: File that is there while the gate is closed.
    """

    sizes: Path
    closed: Path

    def close(self) -> None:
        """Closes the gate, and forgets what was executed before."""
        self.closed.touch()
        self.sizes.write_text("")

    def open(self) -> None:
        """Lets everything through."""
        self.closed.unlink(missing_ok=True)

    def taken(self) -> list[int]:
        """The number of requests of each execution since the gate was closed."""
        return [int(line) for line in self.sizes.read_text().splitlines()]


@pytest.fixture(scope="module")
def photo() -> bytes:
    small = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(small).resize((1200, 900), Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return buffer.getvalue()


def _ask(client: triton.InferenceServerClient, photo: bytes) -> None:
    tensor = triton.InferInput("IMAGE", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[photo]], np.object_))
    assert client.infer("nima", [tensor]).as_numpy("ERROR")[0, 0] == b""


def _ask_many(server: LocalServer, photo: bytes) -> triton.InferenceServerClient:
    client = triton.InferenceServerClient(server.url)
    with ThreadPoolExecutor(REQUESTS) as pool:
        list(pool.map(lambda _: _ask(client, photo), range(REQUESTS)))
    return client


@pytest.fixture
def noting(model_repository: Path, tmp_path: Path) -> tuple[Path, dict[str, Path]]:
    """A copy of the repository whose steps note when they are busy, and where."""
    copy = as_ensemble(shutil.copytree(model_repository, tmp_path / "repository"))
    notes = {step: tmp_path / step for step in STEPS}
    for step, path in notes.items():
        with (copy / step / "1" / "model.py").open("a") as file:
            file.write(NOTING.format(path=str(path)))
    return copy, notes


def _intervals(path: Path) -> list[tuple[float, float]]:
    lines = path.read_text().splitlines()
    return sorted((float(a), float(b)) for a, b in (line.split() for line in lines))


@pytest.fixture
def alternating(noting: tuple[Path, dict[str, Path]]) -> Iterator[LocalServer]:
    with LocalServer(noting[0], extra_arguments=("--rate-limit=execution_count",)) as server:
        yield server


def test_with_the_rate_limiter_the_steps_take_turns(
    alternating: LocalServer, noting: tuple[Path, dict[str, Path]], photo: bytes
) -> None:
    _ask_many(alternating, photo)
    busy = [_intervals(path) for path in noting[1].values()]
    assert min(map(len, busy)) > 2
    for start, end in busy[0]:
        assert all(b <= start or end <= a for a, b in busy[1])


def _gated(copy: Path, models: Iterable[str], folder: Path) -> dict[str, Gate]:
    """Gates that the executions of some models of a repository wait at."""
    gates = {model: Gate(folder / f"{model}.sizes", folder / f"{model}.closed") for model in models}
    for model, gate in gates.items():
        with (copy / model / "1" / "model.py").open("a") as file:
            file.write(GATING.format(sizes=str(gate.sizes), closed=str(gate.closed)))
    return gates


@pytest.fixture
def gated(model_repository: Path, tmp_path: Path) -> tuple[Path, dict[str, Gate]]:
    """A copy of the repository whose steps wait at gates."""
    copy = as_ensemble(shutil.copytree(model_repository, tmp_path / "repository"))
    return copy, _gated(copy, STEPS, tmp_path)


def _waiting(server: LocalServer, step: str) -> int:
    """The requests in a step's queue, by Triton's own metrics."""
    with urllib.request.urlopen(server.metrics_url) as response:
        text = response.read().decode()
    found = re.search(
        rf'^nv_inference_pending_request_count{{.*model="{step}".*}} (\d+)$', text, re.M
    )
    assert found is not None
    return int(found[1])


@contextmanager
def _closed(gates: Iterable[Gate]) -> Iterator[None]:
    """Closes gates; none stays closed, whatever happens."""
    for gate in gates:
        gate.close()
    try:
        yield
    finally:
        for gate in gates:
            gate.open()


def test_requests_that_wait_are_executed_together_in_preferred_sizes(
    gated: tuple[Path, dict[str, Gate]], photo: bytes
) -> None:
    copy, gates = gated
    with (
        LocalServer(copy, metrics_port=0, hang_timeout=None) as server,
        ThreadPoolExecutor(1) as pool,
        _closed(gates.values()),
    ):
        asked = pool.submit(_ask_many, server, photo)
        for step, gate in gates.items():
            # The first to arrive are let in, and wait at the gate; all others wait behind them.
            while sum(gate.taken()) + _waiting(server, step) < REQUESTS:
                assert not asked.done()
                time.sleep(0.05)
            gate.open()
        asked.result()
    for gate in gates.values():
        _, *rest = gate.taken()
        assert sum(gate.taken()) == REQUESTS
        assert set(rest[:-1]) <= PREFERRED
        assert rest[-1] in PREFERRED or rest[-1] < min(PREFERRED)
        assert max(rest) in PREFERRED


@pytest.mark.parametrize(
    ("model", "name"),
    [("nima", "configs/embedded.pbtxt"), ("nima_preprocess", "config.pbtxt")],
)
def test_a_full_queue_rejects_at_once(
    model: str, name: str, model_repository: Path, tmp_path: Path, photo: bytes
) -> None:
    copy = shutil.copytree(model_repository, tmp_path / "repository")
    if model != "nima":
        as_ensemble(copy)
    gates = _gated(copy, [model], tmp_path)
    config = copy / model / name
    text = config.read_text()
    assert "max_queue_size: 128" in text
    config.write_text(text.replace("max_queue_size: 128", "max_queue_size: 1"))

    def status(client: triton.InferenceServerClient) -> str:
        try:
            _ask(client, photo)
        except triton.InferenceServerException as error:
            return str(error.status())
        return "scored"

    with LocalServer(copy) as server:
        client = triton.InferenceServerClient(server.url)
        with ThreadPoolExecutor(REQUESTS) as pool, _closed(gates.values()):
            asked = [pool.submit(status, client) for _ in range(REQUESTS)]
            # While the step is held up only a rejection is an answer.
            first, _ = wait(asked, return_when=FIRST_COMPLETED)
            assert {future.result() for future in first} == {"StatusCode.UNAVAILABLE"}
        assert {future.result() for future in asked} == {"scored", "StatusCode.UNAVAILABLE"}


@pytest.mark.parametrize("model", ["nima", "nima_preprocess"])
def test_nobody_waits_for_files_that_take_long(
    model: str, model_repository: Path, tmp_path: Path, photo: bytes
) -> None:
    copy = shutil.copytree(model_repository, tmp_path / "repository")
    if model != "nima":
        as_ensemble(copy)
    gate = Gate(tmp_path / "sizes", tmp_path / "closed")
    with (copy / model / "1" / "model.py").open("a") as file:
        file.write(SLOW.format(closed=str(gate.closed)))
    with LocalServer(copy) as server, ThreadPoolExecutor(SLOW_FILES) as pool, _closed([gate]):
        client = triton.InferenceServerClient(server.url)
        asked = [pool.submit(_ask, client, photo + b"slow") for _ in range(SLOW_FILES)]
        for _ in range(3):
            _ask(client, photo)
        assert not any(future.done() for future in asked)
        gate.open()
        for future in asked:
            future.result()


def test_a_file_that_takes_too_long_leaves_its_neighbours_their_scores(
    model_repository: Path, tmp_path: Path, photo: bytes
) -> None:
    copy = shutil.copytree(model_repository, tmp_path / "repository")
    config = copy / "nima" / "configs" / "embedded.pbtxt"
    limit = 'key: "max_seconds" value { string_value: "20" }'
    assert limit in config.read_text()
    config.write_text(config.read_text().replace(limit, limit.replace("20", "3")))
    gate = Gate(tmp_path / "sizes", tmp_path / "closed")
    with (copy / "nima" / "1" / "model.py").open("a") as file:
        file.write(SLOW.format(closed=str(gate.closed)))
    with LocalServer(copy) as server, Client(server.url, batch_size=16) as client, _closed([gate]):
        slow, *good = client.score_images([photo + b"slow", *[photo] * 15])
    assert slow.error is not None
    assert (slow.error.code, slow.error.message) == (
        "TOO_LARGE",
        "decoding takes more than 3 seconds",
    )
    assert [score.error for score in good] == [None] * 15


def test_the_version_that_was_written_last_is_served(
    model_repository: Path, tmp_path: Path, photo: bytes
) -> None:
    copy = shutil.copytree(model_repository, tmp_path / "repository")
    graph = copy / "nima_tower" / "1" / "model.onnx"
    write_repository(graph, copy, place=Place(version=2))
    with LocalServer(copy) as server:
        client = triton.InferenceServerClient(server.url)
        assert client.get_model_metadata("nima").versions == ["2"]
        assert not client.is_model_ready("nima", "1")
        _ask(client, photo)
