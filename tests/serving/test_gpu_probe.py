"""The attempt to open the GPU, in a process of its own."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("cupy") is not None, reason="CuPy is installed"
)


def _probe(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "iq_serving.gpu_probe"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.fixture
def version(model_repository: Path, tmp_path: Path) -> Path:
    """A copy of the preprocessing's version folder."""
    return shutil.copytree(model_repository / "nima_preprocess" / "1", tmp_path / "model" / "1")


def test_without_a_gpu_it_ends_with_the_reason(version: Path) -> None:
    done = _probe(version)
    assert done.returncode == 1
    assert done.stderr.startswith("GPU 0 cannot be used (ModuleNotFoundError: No module named")


def test_it_tries_the_code_of_the_version_folder(version: Path) -> None:
    with (version / "iq_serving" / "gpu_pixels.py").open("a") as file:
        file.write("\n\ndef open_gpu(index):\n    raise DeviceError('this copy')\n")
    assert _probe(version).stderr == "this copy\n"


def test_it_finds_the_packages_beside_the_model(version: Path) -> None:
    packages = version.parent / "site-packages"
    packages.mkdir()
    (packages / "cupy.py").write_text("raise ImportError('found beside the model')\n")
    done = _probe(version)
    assert done.returncode == 1
    assert "(ImportError: found beside the model)" in done.stderr
