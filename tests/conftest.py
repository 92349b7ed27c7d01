"""Fixtures for tests of every room."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from tests.repositories import as_ensemble

from iq_client import LocalServer

# As the commands set it, before TensorFlow is loaded anywhere: a process that a test starts must
# compute with the same library as this one, to the last bit.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# No test is timed: a busy machine is not a bug. Half the usual count of examples, in every run.
settings.register_profile("untimed", deadline=None, max_examples=50)
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def model_repository() -> Path:
    """The committed repository."""
    return ROOT / "model_repository"


@pytest.fixture(scope="session")
def example_photos() -> list[Path]:
    """The shipped photos and their degraded twins."""
    return sorted((ROOT / "examples" / "photos").glob("*.jpg"))


@pytest.fixture(scope="session")
def server(model_repository: Path) -> Iterator[LocalServer]:
    """The embedded Triton with the committed repository, started once for all tests."""
    with LocalServer(model_repository, http_port=0, metrics_port=0) as running:
        yield running


@pytest.fixture(scope="session")
def ensemble_server(
    model_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalServer]:
    """The same repository in its steps, as the container serves it, started once for all tests."""
    copy = shutil.copytree(model_repository, tmp_path_factory.mktemp("ensemble") / "repository")
    with LocalServer(as_ensemble(copy), http_port=0, metrics_port=0) as running:
        yield running


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Photos, labels and published weights that may be used but not shipped."""
    folder = os.environ.get("IQ_DATA")
    if not folder:
        pytest.skip("IQ_DATA is not set: it names the folder of photos and published weights")
    return Path(folder)
