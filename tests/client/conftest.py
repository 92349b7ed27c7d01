"""Servers that tests share: the contract in a real Triton, without a tower, and one with faults."""

from __future__ import annotations

import importlib.util
import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
from tests.client.faulty import FaultyServer

from iq_client import Client, LocalServer

Mean: TypeAlias = Callable[[bytes], float]

STUB_REPOSITORY = Path(__file__).parent / "stub_repository"


def children_of(pid: int) -> set[int]:
    """All processes below one, at any depth."""
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        for task in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            children = [int(child) for child in task.read_text().split()]
            found.update(children)
            waiting.extend(children)
    return found


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process can grow beyond some bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="session")
def stub_repository() -> Path:
    """A repository with a stand-in for the ensemble, which scores a checksum of the bytes."""
    return STUB_REPOSITORY


@pytest.fixture(scope="session")
def stub_server(stub_repository: Path) -> Iterator[LocalServer]:
    """A real Triton with the stand-in; tests must leave it running."""
    with LocalServer(stub_repository, startup_timeout=300) as server:
        yield server


@pytest.fixture
def stub_client(stub_server: LocalServer) -> Iterator[Client]:
    """A client of `stub_server`."""
    with Client(stub_server.url, batch_size=8) as client:
        yield client


@pytest.fixture(scope="session")
def stub_mean() -> Mean:
    """The mean that the stand-in gives to some bytes."""
    path = STUB_REPOSITORY / "nima" / "1" / "stub_scores.py"
    spec = importlib.util.spec_from_file_location("stub_scores", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    mean: Mean = module.mean
    return mean


@pytest.fixture
def start_faulty() -> Iterator[Callable[..., FaultyServer]]:
    """Starts servers that may be given faults; they end with the test."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(FaultyServer(**options))


@pytest.fixture
def faulty(start_faulty: Callable[..., FaultyServer]) -> FaultyServer:
    """One such server."""
    return start_faulty()
