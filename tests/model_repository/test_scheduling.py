"""What the configurations make Triton do with requests that wait, seen from outside."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from PIL import Image

from iq_client import LocalServer

REQUESTS = 60
ROUNDS = 10
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
    copy = shutil.copytree(model_repository, tmp_path / "repository")
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


def test_what_waits_is_executed_in_preferred_sizes(server: LocalServer, photo: bytes) -> None:
    def sizes(client: triton.InferenceServerClient) -> dict[int, int]:
        statistics = client.get_inference_statistics("nima_preprocess", as_json=True)
        batches = statistics["model_stats"][0]["batch_stats"]
        return {int(entry["batch_size"]): int(entry["compute_infer"]["count"]) for entry in batches}

    before = sizes(triton.InferenceServerClient(server.url))
    # A starved machine may send so slowly that few requests wait at once: then they are sent again.
    for _ in range(ROUNDS):
        after = sizes(_ask_many(server, photo))
        seen = {size for size, count in after.items() if count > before.get(size, 0)}
        if max(seen) >= 8:
            break
    assert max(seen) >= 8
    assert {size for size in seen if size >= 8} <= {8, 16, 32}


def test_the_highest_version_is_served(
    model_repository: Path, tmp_path: Path, photo: bytes
) -> None:
    copy = shutil.copytree(model_repository, tmp_path / "repository")
    shutil.copytree(copy / "nima_tower" / "1", copy / "nima_tower" / "2")
    with LocalServer(copy) as server:
        client = triton.InferenceServerClient(server.url)
        assert client.get_model_metadata("nima_tower").versions == ["2"]
        assert not client.is_model_ready("nima_tower", "1")
        _ask(client, photo)
