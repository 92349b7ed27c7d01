"""The default tower's instances on the machine that serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from iq_serving.layout import Place, ensembles
from iq_tools.cores import lay_out_for_cores, tower_instances
from iq_tools.errors import InputError
from iq_tools.repository import write_repository

CORES = 6


@pytest.fixture
def repository(onnx_file: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    for name in ("nima", "aesthetic"):
        write_repository(onnx_file, folder, place=Place(name))
    return folder


def _group(config: Path) -> Any:
    parsed = text_format.Parse(config.read_text(), model_config_pb2.ModelConfig())
    (group,) = parsed.instance_group
    return group


def test_each_core_gets_an_instance_of_every_tower(repository: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}
    served = lay_out_for_cores(repository, ensembles(repository), tmp_path / "work", CORES)
    assert served is not None
    for name in ("nima", "aesthetic"):
        tower = _group(served / f"{name}_tower" / "config.pbtxt")
        assert tower.kind == model_config_pb2.ModelInstanceGroup.KIND_CPU
        assert tower.count == CORES
        decoding = _group(served / f"{name}_preprocess" / "config.pbtxt")
        assert decoding.rate_limiter.resources[0].count == CORES
        for config in ("embedded", "tensorrt"):
            path = Path(f"{name}_tower", "configs", f"{config}.pbtxt")
            assert (served / path).read_bytes() == before[repository / path]
    assert {path: path.read_bytes() for path in before} == before


def test_instances_that_somebody_stated_are_kept(repository: Path, tmp_path: Path) -> None:
    config = repository / "nima_tower" / "config.pbtxt"
    own = config.read_text().replace(tower_instances(), "instance_group [ { count: 9 } ]")
    config.write_text(own)
    served = lay_out_for_cores(repository, ensembles(repository), tmp_path / "work", CORES)
    assert served is not None
    assert _group(served / "nima_tower" / "config.pbtxt").count == 9
    assert _group(served / "aesthetic_tower" / "config.pbtxt").count == CORES


def test_a_copy_that_cannot_be_made_is_one_line(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "work").write_text("a file where a folder should be")
    with pytest.raises(InputError, match="--work"):
        lay_out_for_cores(repository, ["nima"], tmp_path / "work", CORES)
