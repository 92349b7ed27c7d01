"""The stand-in repository: the contract in a real Triton, without a tower."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iq_client.client import Client
from iq_client.local import LocalServer

STUB_REPOSITORY = Path(__file__).parent / "stub_repository"


@pytest.fixture(scope="session")
def stub_repository() -> Path:
    """A repository with a stand-in for the ensemble, which scores a checksum of the bytes."""
    return STUB_REPOSITORY


@pytest.fixture(scope="session")
def stub_server(stub_repository: Path) -> Iterator[LocalServer]:
    """A real Triton with the stand-in; tests must leave it running."""
    with LocalServer(stub_repository) as server:
        yield server


@pytest.fixture
def stub_client(stub_server: LocalServer) -> Iterator[Client]:
    """A client of `stub_server`."""
    with Client(stub_server.url, batch_size=8) as client:
        yield client


@pytest.fixture(scope="session")
def stub_mean() -> Callable[[bytes], float]:
    """The mean that the stand-in gives to some bytes."""
    path = STUB_REPOSITORY / "nima" / "1" / "stub_scores.py"
    spec = importlib.util.spec_from_file_location("stub_scores", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    mean: Callable[[bytes], float] = module.mean
    return mean
