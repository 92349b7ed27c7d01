"""Repositories of personal towers: what is exchanged, what stays, what is refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from iq_serving.contract import TOWER_PARAMETER, Tower
from iq_serving.identity import check_versions
from iq_serving.layout import Place
from iq_tools.repository import write_repository
from siamese_nima.errors import ConfigError, WeightsError
from siamese_nima.personalise.graph import find_depths, with_taste
from siamese_nima.personalise.repository import ServedTower, find_served, write_personal
from siamese_nima.personalise.taste import Taste
from siamese_nima.towers.graph_files import read_graph


@pytest.fixture
def base(model_repository: Path) -> ServedTower:
    """The shipped repository."""
    return find_served(model_repository)


@pytest.fixture
def changed(base: ServedTower) -> onnx.ModelProto:
    """The shipped graph with a taste in it."""
    graph = read_graph(base.graph)
    depths = find_depths(graph)
    weight = np.random.default_rng(0).normal(size=sum(depths.channels))
    return with_taste(graph, depths, Taste(weight, 0.5))


def parameters(config: Path) -> dict[str, str]:
    """Parameters of a configuration about its towers, as Triton hands it to a model."""
    found = re.findall(r"key: \"([^\"]+)\" value { string_value: '(.*)' } }", config.read_text())
    quoted = {key: value for key, value in found if key.startswith(TOWER_PARAMETER)}
    return {key: value.replace("\\'", "'").replace("\\\\", "\\") for key, value in quoted.items()}


def test_a_server_takes_it(base: ServedTower, changed: onnx.ModelProto, tmp_path: Path) -> None:
    tower = write_personal(base, changed, tmp_path / "mine")
    folder = tmp_path / "mine" / "nima_tower"
    for config in (folder / "config.pbtxt", *folder.glob("configs/*.pbtxt")):
        assert check_versions(folder, parameters(config)) == tower
    assert tower.sha256 != base.tower.sha256
    assert tower.version == f"{base.tower.version}+personal"
    assert tower.licence == base.tower.licence
    assert read_graph(find_served(tmp_path / "mine").graph) == changed


def test_what_is_no_longer_true_is_left_out(
    base: ServedTower, changed: onnx.ModelProto, tmp_path: Path
) -> None:
    """The scale of the means, a plan of the former graph, the card."""
    source = tmp_path / "source"
    shutil.copytree(base.repository, source, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "nima_tower/1/model.plan").write_bytes(b"of the former graph")
    tower = write_personal(find_served(source), changed, tmp_path / "mine")
    assert tower.quantiles == ()
    names = {path.name for path in (tmp_path / "mine").rglob("*")}
    assert {"model.plan", "MODEL_CARD.md"}.isdisjoint(names)
    assert {"model.onnx", "tower.json", "warmup", "iq_serving"} <= names


def test_after_a_rollback_it_begins_from_the_tower_that_is_served(
    base: ServedTower, changed: onnx.ModelProto, tmp_path: Path
) -> None:
    """A second version lies there, written for the same repository; the ensemble asks the first."""
    repository = tmp_path / "repository"
    write_repository(base.graph, repository)
    onnx.save(changed, tmp_path / "changed.onnx")
    write_repository(tmp_path / "changed.onnx", repository, place=Place(version=2))
    assert find_served(repository).place.version == 2
    write_repository(base.graph, repository)
    served = find_served(repository)
    assert served.place.version == 1
    assert served.tower == Tower.read(repository / "nima_tower/1/tower.json")
    assert served.graph.read_bytes() == base.graph.read_bytes()


def test_an_earlier_one_is_replaced(
    base: ServedTower, changed: onnx.ModelProto, tmp_path: Path
) -> None:
    first = write_personal(base, changed, tmp_path / "mine")
    depths = find_depths(changed)
    again = with_taste(changed, depths, Taste(np.ones(sum(depths.channels)), 0.0))
    second = write_personal(base, again, tmp_path / "mine")
    assert first.sha256 != second.sha256
    assert Tower.read(tmp_path / "mine/nima_tower/1/tower.json") == second
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_configurations_that_do_not_describe_the_tower_are_refused(
    base: ServedTower, changed: onnx.ModelProto, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(base.repository, source, ignore=shutil.ignore_patterns("__pycache__"))
    tower = source / "nima_tower/1/tower.json"
    tower.write_text(tower.read_text().replace('"version": "', '"version": "x'))
    with pytest.raises(WeightsError, match="iq-tools repository"):
        write_personal(find_served(source), changed, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_the_default_is_found_here_or_installed(
    model_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The committed one goes first; the wheel's is that of the environment."""
    monkeypatch.chdir(model_repository.parent)
    assert find_served("default").repository == Path("model_repository")
    monkeypatch.chdir(tmp_path)
    installed = find_served("default")
    assert installed.repository.name == "iq_nima"
    assert installed.graph.is_file()


def test_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no model repository"):
        find_served(tmp_path)


def test_eight_bit_integers_do_not_learn(base: ServedTower, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(base.repository, source, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "nima_tower/1/model.int8.onnx").write_bytes(b"")
    with pytest.raises(ConfigError, match="f32"):
        find_served(source)
