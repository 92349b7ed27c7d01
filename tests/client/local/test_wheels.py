"""The wheels, installed as users install them: an empty environment, away from the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
MAX_MODEL_BYTES = 16 * 2**20


@pytest.fixture(scope="module")
def uv() -> Path:
    """The program that builds and installs."""
    found = next(ROOT.glob(".uv/*/bin/uv"), None) or shutil.which("uv")
    if found is None:
        pytest.skip("uv is not here: make install puts it into .uv/")
    return Path(found)


@pytest.fixture(scope="module")
def wheels(uv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the wheels of the client and of the models."""
    folder = tmp_path_factory.mktemp("wheels")
    for package in ("iq-client", "iq-nima"):
        subprocess.run(
            [uv, "build", "--quiet", "--wheel", "--package", package, "--out-dir", folder],
            cwd=ROOT,
            check=True,
        )
    return folder


def test_the_models_are_a_small_wheel(wheels: Path, model_repository: Path) -> None:
    (wheel,) = wheels.glob("iq_nima-*.whl")
    assert wheel.stat().st_size <= MAX_MODEL_BYTES
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith("iq_nima/")}
    served = {
        f"iq_nima/{path.relative_to(model_repository).as_posix()}"
        for path in model_repository.glob("*/**/*")
        if path.is_file() and ".h5" not in path.name and "__pycache__" not in path.parts
    }
    assert "iq_nima/nima_tower/1/model.onnx" in served
    assert names == served | {"iq_nima/LICENSE"}


def test_a_new_user_ranks_a_folder(
    uv: Path, wheels: Path, example_photos: list[Path], tmp_path: Path
) -> None:
    environment = tmp_path / "environment"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    # No make, gcc or git: Triton starts its Python backend through bash, and that is all.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "bash").symlink_to(shutil.which("bash") or "/bin/bash")
    programs = {"PATH": f"{environment / 'bin'}:{tmp_path / 'bin'}"}
    client, models = (next(wheels.glob(f"{name}-*.whl")) for name in ("iq_client", "iq_nima"))
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", environment, f"{client}[local]", models],
        env={**os.environ, **programs},
        cwd=tmp_path,
        check=True,
    )
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in example_photos[:3]:
        shutil.copy(path, photos)
    done = subprocess.run(
        ["iq-client", "rank", "photos", "--format", "json"],
        executable=environment / "bin" / "iq-client",
        env={**programs, "HOME": str(tmp_path)},  # nothing of the checkout
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "iq_nima" in done.stderr  # the models of the wheel
    rows = json.loads(done.stdout)
    assert [row["rank"] for row in rows] == [1, 2, 3]
    means = [row["mean"] for row in rows]
    assert means == sorted(means, reverse=True) and means[0] > means[-1]
