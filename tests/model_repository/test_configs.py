"""Every configuration against Triton's own schema, and against each other."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from PIL import Image
from tritonclient.grpc import model_config_pb2

from iq_serving.contract import NO_LICENCE, QUANTILES, UNVERSIONED, Tower
from iq_tools.cores import INSTANCES
from iq_tools.repository import repository_files

CONFIGS = (
    "nima/config.pbtxt",
    "nima/configs/embedded.pbtxt",
    "nima_preprocess/config.pbtxt",
    "nima_preprocess/configs/tensorrt.pbtxt",
    "nima_tower/config.pbtxt",
    "nima_tower/configs/tensorrt.pbtxt",
    "nima_tower/configs/embedded.pbtxt",
)
BYTES, UINT8, FP32 = (
    getattr(model_config_pb2, name) for name in ("TYPE_STRING", "TYPE_UINT8", "TYPE_FP32")
)
SCORES = {"DISTRIBUTION": (FP32, [10]), "MEAN": (FP32, [1]), "STD": (FP32, [1])}


@pytest.fixture(scope="module")
def tower(model_repository: Path) -> Tower:
    return Tower.read(model_repository / "nima_tower" / "1" / "tower.json")


def _read(path: Path) -> Any:
    return text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())


def _tensors(values: Any) -> dict[str, tuple[int, list[int]]]:
    return {value.name: (value.data_type, list(value.dims)) for value in values}


def test_there_is_no_other_configuration(model_repository: Path) -> None:
    found = {str(path.relative_to(model_repository)) for path in model_repository.rglob("*.pbtxt")}
    assert found == set(CONFIGS)


@pytest.mark.parametrize("name", CONFIGS)
def test_configuration_keeps_to_the_contract(
    name: str, model_repository: Path, tower: Tower
) -> None:
    config = _read(model_repository / name)
    image = {"IMAGE": (BYTES, [1])}
    error = {"ERROR": (BYTES, [1])}
    between = {"PIXELS": (UINT8, [*tower.image_size, 3]), "MASK": (FP32, [1])}
    inputs, outputs = {
        "nima": (image, SCORES | error),
        "nima_preprocess": (image, between | error),
        "nima_tower": (between, SCORES),
    }[config.name]
    assert config.name == name.split("/")[0]
    assert config.max_batch_size == 64
    assert _tensors(config.input) == inputs
    assert _tensors(config.output) == outputs


def test_runtime_of_each_configuration(model_repository: Path) -> None:
    found = {name: _read(model_repository / name) for name in CONFIGS}
    assert {name: config.backend or config.platform for name, config in found.items()} == {
        "nima/config.pbtxt": "ensemble",
        "nima/configs/embedded.pbtxt": "python",
        "nima_preprocess/config.pbtxt": "python",
        "nima_preprocess/configs/tensorrt.pbtxt": "python",
        "nima_tower/config.pbtxt": "onnxruntime",
        "nima_tower/configs/tensorrt.pbtxt": "tensorrt_plan",
        "nima_tower/configs/embedded.pbtxt": "python",
    }


@pytest.mark.parametrize("name", CONFIGS[1:])
def test_every_step_bounds_its_queue_and_warms_up(name: str, model_repository: Path) -> None:
    config = _read(model_repository / name)
    assert config.dynamic_batching.default_queue_policy.max_queue_size > 0
    assert config.dynamic_batching.priority_levels == 2
    assert list(config.dynamic_batching.preferred_batch_size) == [8, 16, 32]
    fed = {key for warmup in config.model_warmup for key in warmup.inputs}
    assert fed == set(_tensors(config.input))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_ensemble_is_of_the_version_of_its_tower(name: str, model_repository: Path) -> None:
    ensemble = _read(model_repository / "nima" / "config.pbtxt")
    versions = {step.model_name: step.model_version for step in ensemble.ensemble_scheduling.step}
    served = versions["nima_tower"]
    assert versions == {"nima_preprocess": -1, "nima_tower": served}
    assert ensemble.version_policy.specific.versions == [served]
    policy = _read(model_repository / name).version_policy
    # Where one tower follows another, both are there for a while; not each has a plan.
    if name in ("nima_tower/config.pbtxt", "nima_tower/configs/embedded.pbtxt"):
        assert policy.WhichOneof("policy_choice") == "all"
    elif name in ("nima_tower/configs/tensorrt.pbtxt", "nima/configs/embedded.pbtxt"):
        assert policy.specific.versions == [served]


@pytest.mark.parametrize("name", ["config.pbtxt", "configs/embedded.pbtxt"])
def test_the_steps_on_a_cpu_may_take_turns(name: str, model_repository: Path) -> None:
    (decoding,) = _read(model_repository / "nima_preprocess" / "config.pbtxt").instance_group
    (tower,) = _read(model_repository / "nima_tower" / name).instance_group
    (held,) = decoding.rate_limiter.resources
    (each,) = tower.rate_limiter.resources
    assert held.name == each.name
    # Decoding leaves nothing for a tower; all instances of the tower go on side by side.
    assert held.count == each.count * tower.count > 0


def test_an_instance_of_the_stock_tower_has_one_thread(model_repository: Path) -> None:
    config = _read(model_repository / "nima_tower" / "config.pbtxt")
    assert config.parameters["intra_op_thread_count"].string_value == "1"
    (group,) = config.instance_group
    assert group.kind == model_config_pb2.ModelInstanceGroup.KIND_AUTO  # a GPU is taken
    assert group.count == INSTANCES
    plan = _read(model_repository / "nima_tower" / "configs" / "tensorrt.pbtxt")
    assert [(group.kind, group.count) for group in plan.instance_group] == [
        (model_config_pb2.ModelInstanceGroup.KIND_GPU, 1)
    ]


def test_the_warmup_photo_is_one_string_of_an_image(model_repository: Path) -> None:
    data = (model_repository / "nima_preprocess" / "warmup" / "IMAGE").read_bytes()
    assert int.from_bytes(data[:4], "little") == len(data) - 4
    Image.open(io.BytesIO(data[4:])).load()


def test_the_ensemble_joins_tensors_that_its_steps_have(model_repository: Path) -> None:
    ensemble = _read(model_repository / "nima" / "config.pbtxt")
    known = {"IMAGE"}
    for step in ensemble.ensemble_scheduling.step:
        model = _read(model_repository / step.model_name / "config.pbtxt")
        assert set(step.input_map) == set(_tensors(model.input))
        assert set(step.output_map) == set(_tensors(model.output))
        assert set(step.input_map.values()) <= known
        known |= set(step.output_map.values())
    assert set(_tensors(ensemble.output)) <= known


def test_every_file_is_what_the_tools_write(model_repository: Path, tower: Tower) -> None:
    written = repository_files({1: tower})
    for path, content in written.items():
        found = (model_repository / path).read_bytes()
        assert found == content, f"{path} is out of date; run: make repository"
    served = {path.relative_to(model_repository) for path in model_repository.glob("*/1/**/*.py")}
    assert served == {path for path in written if path.suffix == ".py"}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_says_whose_tower_it_is(
    name: str, model_repository: Path, tower: Tower
) -> None:
    parameters = _read(model_repository / name).parameters
    assert json.loads(parameters["tower.1"].string_value) == json.loads(tower.text)
    graph = model_repository / "nima_tower" / "1" / "model.onnx"
    assert tower.sha256 == hashlib.sha256(graph.read_bytes()).hexdigest()
    assert tower.version != UNVERSIONED
    assert tower.licence != NO_LICENCE
    assert len(tower.quantiles) == QUANTILES
