"""The parts that the embedded server is started from."""

from __future__ import annotations

from pathlib import Path

import pytest

from iq_client import LocalServer, LocalServerError


def test_where_the_repository_is(
    stub_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IQ_MODEL_REPOSITORY", raising=False)
    with pytest.raises(LocalServerError, match="IQ_MODEL_REPOSITORY"):
        LocalServer()
    with pytest.raises(LocalServerError, match="nowhere"):
        LocalServer(tmp_path / "nowhere")
    (tmp_path / "model_repository").symlink_to(stub_repository)
    assert LocalServer().model_repository == stub_repository.resolve()
    (tmp_path / "model_repository").unlink()
    monkeypatch.setenv("IQ_MODEL_REPOSITORY", str(stub_repository))
    assert LocalServer().model_repository == stub_repository.resolve()


def test_a_missing_wheel_is_explained(
    stub_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(LocalServerError, match=r"pip install 'iq-client\[local\]'"):
        LocalServer(stub_repository)
