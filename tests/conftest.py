"""What tests of every room share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from iq_client.local import LocalServer

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def model_repository() -> Path:
    """The committed repository."""
    return ROOT / "model_repository"


@pytest.fixture(scope="session")
def server(model_repository: Path) -> Iterator[LocalServer]:
    """The embedded Triton with the committed repository, started once for all tests."""
    with LocalServer(model_repository, metrics_port=0) as running:
        yield running
