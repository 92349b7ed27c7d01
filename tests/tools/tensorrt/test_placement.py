from __future__ import annotations

from pathlib import Path

import pytest

from iq_tools.tensorrt.placement import (
    CONFIG_NAME,
    drop_plan_of_another,
    gpu_preprocessing,
    lay_out,
    plan_path,
)


def test_the_places_are_those_of_the_configurations(model_repository: Path) -> None:
    config = model_repository / "nima_tower" / "configs" / f"{CONFIG_NAME}.pbtxt"
    assert f'"{plan_path(model_repository).name}"' in config.read_text()
    assert gpu_preprocessing(model_repository).is_file()


def test_the_given_repository_stays_as_it_is(model_repository: Path, tmp_path: Path) -> None:
    plan = tmp_path / "cache" / "model.plan"
    plan.parent.mkdir()
    plan.write_bytes(b"plan")
    before = sorted(model_repository.rglob("*"))
    served = lay_out(model_repository, {"nima": plan}, tmp_path / "work", decode_on_gpu=False)
    assert sorted(model_repository.rglob("*")) == before
    assert plan_path(served).read_bytes() == b"plan"
    assert not gpu_preprocessing(served).exists()
    graph = Path("nima_tower", "1", "model.onnx")
    assert (served / graph).is_symlink()
    assert (served / graph).read_bytes() == (model_repository / graph).read_bytes()


def test_a_plan_that_lies_in_the_repository_gives_way(tmp_path: Path) -> None:
    own = plan_path(tmp_path / "models")
    own.parent.mkdir(parents=True)
    own.write_bytes(b"of another machine")
    plan = tmp_path / "model.plan"
    plan.write_bytes(b"of this one")
    served = lay_out(tmp_path / "models", {"nima": plan}, tmp_path / "work", decode_on_gpu=True)
    assert plan_path(served).read_bytes() == b"of this one"
    assert own.read_bytes() == b"of another machine"


@pytest.mark.parametrize(
    ("report", "kept"),
    [('{"onnx_sha256": "this"}', True), ('{"onnx_sha256": "another"}', False), (None, False)],
)
def test_only_a_plan_of_the_same_graph_is_kept(
    report: str | None, kept: bool, tmp_path: Path
) -> None:
    plan = plan_path(tmp_path)
    plan.parent.mkdir(parents=True)
    plan.write_bytes(b"plan")
    if report:
        plan.with_suffix(".json").write_text(report)
    assert drop_plan_of_another(plan.parent, "this") != kept
    assert plan.exists() == plan.with_suffix(".json").exists() == kept


def test_where_there_is_no_plan_none_is_dropped(tmp_path: Path) -> None:
    assert not drop_plan_of_another(tmp_path, "this")
