"""Towers that are refused by the server, and several of them beside each other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import tritonclient.grpc as triton

from iq_client import Client, LocalServer, LocalServerError, Score
from iq_serving.layout import Place
from iq_serving.preprocessing import load_pixels
from iq_tools.errors import GraphError
from iq_tools.graph.runner import OnnxTower
from iq_tools.repository import Statement, write_repository


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


def _means(server: LocalServer, photos: list[Path], model: str = "nima") -> list[float]:
    with Client(server.url, model=model) as client:
        scores: list[Score] = client.score_images(photos, raise_on_error=True)
        tower = client.server_info().tower
    assert tower is not None
    assert {score.tower for score in scores} == {tower.label}
    assert [score.percentile for score in scores] == [tower.percentile(s.mean) for s in scores]
    return [score.mean for score in scores]


def _expected(graph: Path, photos: list[Path], interpolation: str) -> list[float]:
    pixels = np.stack(
        [
            load_pixels(path.read_bytes(), image_size=(224, 224), interpolation=interpolation)
            for path in photos
        ]
    )
    means: list[float] = OnnxTower(graph).score(pixels)["MEAN"][:, 0].tolist()
    return means


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
    with pytest.raises(GraphError, match=r"wants other pixels .* --name NAME"):
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


def test_towers_of_other_pixels_serve_beside_each_other(
    copy: Path, graph: Path, nearest_graph: Path, example_photos: list[Path], tmp_path: Path
) -> None:
    quantiles = tmp_path / "quantiles.json"
    means = [1 + 0.09 * percent for percent in range(101)]
    quantiles.write_text(json.dumps({"quantiles": means, "quantiles_of": "a straight line"}))
    statement = Statement(version="9", licence="CC0-1.0", quantiles=quantiles)
    write_repository(nearest_graph, copy, place=Place("aesthetic"), statement=statement)
    bilinear = _expected(graph, example_photos, "bilinear")
    nearest = _expected(graph, example_photos, "nearest")
    assert max(abs(a - b) for a, b in zip(bilinear, nearest, strict=True)) > 0.1
    with LocalServer(copy) as server:
        assert _means(server, example_photos) == pytest.approx(bilinear, abs=1e-5)
        assert _means(server, example_photos, "aesthetic") == pytest.approx(nearest, abs=1e-5)
        with Client(server.url, model="aesthetic") as client:
            tower = client.server_info().tower
            (score,) = client.score_images(example_photos[:1])
        with Client(server.url) as client:
            (usual,) = client.score_images(example_photos[:1])
    assert tower is not None
    assert (tower.version, tower.licence, tower.quantiles_of) == ("9", "CC0-1.0", "a straight line")
    assert score.percentile == pytest.approx((score.mean - 1) / 0.09, abs=1e-3)
    assert usual.percentile is not None
    assert abs(usual.percentile - (usual.mean - 1) / 0.09) > 1, "by the scale of its own tower"


def test_a_hot_swap_to_other_pixels_is_refused_and_the_old_tower_goes_on(
    copy: Path, nearest_graph: Path, example_photos: list[Path], tmp_path: Path
) -> None:
    write_repository(nearest_graph, tmp_path / "other")
    arguments = ("--model-control-mode=explicit", "--load-model=*")
    with (
        LocalServer(copy, allow=("model-repository",), extra_arguments=arguments) as server,
        triton.InferenceServerClient(server.url) as control,
    ):
        before = _means(server, example_photos[:4])
        shutil.copytree(tmp_path / "other" / "nima_tower" / "1", copy / "nima_tower" / "2")
        with pytest.raises(triton.InferenceServerException, match="do not know"):
            control.load_model("nima_tower")
        assert _means(server, example_photos[:4]) == before
        assert len(set(before)) > 1
