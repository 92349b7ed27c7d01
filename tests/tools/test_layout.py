"""The places of things in a model repository."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from iq_serving.contract import ContractError
from iq_serving.layout import Place, ensembles, served_place
from iq_tools.errors import InputError
from iq_tools.graph.tower import graph_of
from iq_tools.repository import write_repository
from iq_tools.tensorrt.placement import gpu_preprocessing, lay_out, plan_path


def test_an_ensemble_names_its_steps() -> None:
    assert Place().folder == Path("nima_tower", "1")
    place = Place("aesthetic", 3)
    assert place.folder == Path("aesthetic_tower", "3")
    assert place.model("nima_preprocess") == "aesthetic_preprocess"
    assert place.model("nima") == "aesthetic"


def test_of_each_ensemble_the_version_written_last_is_served(
    onnx_file: Path, tmp_path: Path
) -> None:
    assert ensembles(tmp_path) == []
    assert served_place(tmp_path) == Place()
    model = onnx.load(onnx_file)
    model.doc_string = "another"
    onnx.save(model, tmp_path / "another.onnx")
    repository = tmp_path / "repository"
    write_repository(onnx_file, repository)
    write_repository(onnx_file, repository, place=Place("aesthetic", 2))
    write_repository(tmp_path / "another.onnx", repository, place=Place("aesthetic", 10))
    assert ensembles(repository) == ["aesthetic", "nima"]
    assert served_place(repository) == Place()
    assert served_place(repository, "aesthetic") == Place("aesthetic", 10)
    graph = graph_of(repository, "aesthetic")
    assert graph.read_bytes() == (tmp_path / "another.onnx").read_bytes()
    assert graph_of(repository).read_bytes() == onnx_file.read_bytes()
    assert plan_path(repository, "aesthetic").parent == graph.parent
    with pytest.raises(InputError, match="other_tower"):
        graph_of(repository, "other")
    write_repository(onnx_file, repository, place=Place("aesthetic", 2))
    assert served_place(repository, "aesthetic") == Place("aesthetic", 2)


def test_an_ensemble_that_names_no_version_is_refused(onnx_file: Path, tmp_path: Path) -> None:
    write_repository(onnx_file, tmp_path)
    config = tmp_path / "nima" / "config.pbtxt"
    config.write_text(config.read_text().replace("specific { versions: [ 1 ] }", "all { }"))
    with pytest.raises(ContractError, match=r"which version .* iq-tools repository"):
        served_place(tmp_path)
    with pytest.raises(InputError, match="which version"):
        graph_of(tmp_path)


def test_every_ensemble_gets_its_plan(onnx_file: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    plans = {}
    for name in ("nima", "aesthetic"):
        write_repository(onnx_file, repository, place=Place(name))
        plans[name] = tmp_path / f"{name}.plan"
        plans[name].write_text(name)
    served = lay_out(repository, plans, tmp_path / "work", decode_on_gpu=False)
    for name in plans:
        assert plan_path(served, name).read_text() == name
        assert gpu_preprocessing(repository, name).exists()
        assert not gpu_preprocessing(served, name).exists()
