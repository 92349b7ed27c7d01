"""The server runs the package that lies in the repository, whatever else is installed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from iq_client import LocalServer

STEPS = ("nima", "nima_preprocess", "nima_tower")
# Put behind a model's own code: what of the package was loaded, and what an absolute import finds.
TELLING = """

import importlib.util
import json
import sys

with open({path!r}, "w") as file:
    loaded = [module.__file__ for name, module in sys.modules.items() if "iq_serving" in name]
    json.dump([loaded, importlib.util.find_spec("iq_serving").origin, sys.path], file)
"""


@pytest.fixture(scope="module")
def repository(model_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository whose models were loaded and have told what they found."""
    copy = shutil.copytree(model_repository, tmp_path_factory.mktemp("vendored") / "repository")
    for step in STEPS:
        with (copy / step / "1" / "model.py").open("a") as file:
            file.write(TELLING.format(path=str(copy / f"{step}.json")))
    every = ("--model-control-mode=explicit", "--load-model=*")
    with LocalServer(copy, extra_arguments=every):
        pass
    return copy


@pytest.mark.parametrize("step", STEPS)
def test_every_module_is_that_of_the_version_folder(repository: Path, step: str) -> None:
    loaded, _, _ = json.loads((repository / f"{step}.json").read_text())
    assert len(loaded) > 2
    assert {Path(file).parent for file in loaded} == {repository / step / "1" / "iq_serving"}


@pytest.mark.parametrize("step", STEPS)
def test_an_absolute_import_would_find_the_installed_package(repository: Path, step: str) -> None:
    # Why the imports are relative: Triton appends the version folder to the path.
    _, found, path = json.loads((repository / f"{step}.json").read_text())
    assert not Path(found).is_relative_to(repository)
    packages = next(i for i, folder in enumerate(path) if folder.endswith("site-packages"))
    assert packages < path.index(str(repository / step / "1"))
