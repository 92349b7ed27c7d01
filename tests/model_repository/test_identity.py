"""Towers that are refused by the server, and several of them beside each other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest

from iq_client import LocalServer, LocalServerError
from iq_tools.errors import GraphError
from iq_tools.repository import Place, write_repository


@pytest.fixture(scope="module")
def graph(model_repository: Path) -> Path:
    """The committed tower's graph."""
    return model_repository / "nima_tower" / "1" / "model.onnx"


@pytest.fixture(scope="module")
def nearest_graph(graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights as a tower that wants pixels of another interpolation."""
    model = onnx.load(graph)
    (entry,) = model.metadata_props
    entry.value = json.dumps(json.loads(entry.value) | {"interpolation": "nearest"})
    path = tmp_path_factory.mktemp("nearest") / "model.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def copy(model_repository: Path, tmp_path: Path) -> Path:
    """A copy of the committed repository."""
    return shutil.copytree(model_repository, tmp_path / "repository")


@pytest.mark.parametrize("file", ["model.onnx", "tower.json"])
def test_a_half_written_repository_is_refused(
    file: str, copy: Path, nearest_graph: Path, tmp_path: Path
) -> None:
    # Its graph and its description are of two towers, in either order.
    write_repository(nearest_graph, tmp_path / "other")
    part = Path("nima_tower", "1", file)
    shutil.copyfile(tmp_path / "other" / part, copy / part)
    with pytest.raises(LocalServerError, match=r"nima_tower/1/.* iq-tools repository"):
        LocalServer(copy).start()


def test_a_tower_that_wants_other_pixels_cannot_become_a_version(
    copy: Path, nearest_graph: Path, tmp_path: Path
) -> None:
    with pytest.raises(GraphError, match="wants other pixels .* --name NAME"):
        write_repository(nearest_graph, copy, place=Place(version=2))
    assert not (copy / "nima_tower" / "2").exists()
    # Nor by hand.
    write_repository(nearest_graph, tmp_path / "other")
    shutil.copytree(tmp_path / "other" / "nima_tower" / "1", copy / "nima_tower" / "2")
    with pytest.raises(LocalServerError, match=r"nima_tower/2 is a version .* do not know"):
        LocalServer(copy).start()


def test_a_repository_of_the_older_layout_is_refused(copy: Path, graph: Path) -> None:
    tower = copy / "nima_tower"
    (tower / "1" / "tower.json").rename(tower / "tower.json")
    with pytest.raises(LocalServerError, match=r"older layout.* iq-tools repository"):
        LocalServer(copy).start()
    write_repository(graph, copy)
    assert not (tower / "tower.json").exists()
    with LocalServer(copy):
        pass
