"""Pillow for a server that has none: where it is found, and the error where it is not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import tritonclient.grpc as triton
from tests.repositories import as_ensemble

from iq_client import LocalServer, LocalServerError

FIRST_IMPORT = "import io\n"


def _copy(model_repository: Path, folder: Path, first_line: str) -> Path:
    """A repository whose preprocessing begins with another line."""
    copy = as_ensemble(shutil.copytree(model_repository, folder / "repository"))
    preprocessing = copy / "nima_preprocess" / "1" / "iq_serving" / "preprocessing.py"
    source = preprocessing.read_text()
    assert source.count(FIRST_IMPORT) == 1
    preprocessing.write_text(source.replace(FIRST_IMPORT, f"{FIRST_IMPORT}{first_line}\n"))
    return copy


def test_packages_on_the_python_path_are_found(
    model_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "only_on_the_python_path.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(packages))
    copy = _copy(model_repository, tmp_path, "import only_on_the_python_path")
    with LocalServer(copy) as server:
        assert triton.InferenceServerClient(server.url).is_model_ready("nima")


def test_a_server_without_pillow_says_what_to_run(model_repository: Path, tmp_path: Path) -> None:
    missing = "raise ModuleNotFoundError(\"No module named 'PIL'\", name='PIL')"
    copy = _copy(model_repository, tmp_path, missing)
    log = tmp_path / "triton.log"
    with pytest.raises(LocalServerError):
        LocalServer(copy, log_file=log).start()
    folder = copy / "nima_preprocess" / "site-packages"
    assert re.search(rf"pip install .* --target {folder} pillow", log.read_text())
