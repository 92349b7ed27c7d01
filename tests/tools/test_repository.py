from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from click.testing import CliRunner

from iq_tools.cli import cli
from iq_tools.contract import ContractError, Tower
from iq_tools.photos import installed_preprocessing
from iq_tools.repository import repository_files, write_repository


def _contents(folder: Path) -> dict[Path, bytes]:
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _tower(description: dict[str, Any], **changes: object) -> Tower:
    return Tower.parse(json.dumps(description | changes), origin="a test")


def test_a_repository_is_whole_and_the_same_every_time(onnx_file: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        cli, ["repository", "--onnx", str(onnx_file), "--output", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    first = _contents(tmp_path)
    assert {str(path) for path in first} == {
        "nima/config.pbtxt",
        "nima/1/.gitkeep",
        "nima_preprocess/config.pbtxt",
        "nima_preprocess/configs/tensorrt.pbtxt",
        "nima_preprocess/1/counter.py",
        "nima_preprocess/1/gpu_pixels.py",
        "nima_preprocess/1/model.py",
        "nima_preprocess/1/model_gpu.py",
        "nima_preprocess/1/preprocessing.py",
        "nima_preprocess/1/processor.py",
        "nima_preprocess/warmup/IMAGE",
        "nima_tower/config.pbtxt",
        "nima_tower/configs/embedded.pbtxt",
        "nima_tower/configs/tensorrt.pbtxt",
        "nima_tower/tower.json",
        "nima_tower/1/model.onnx",
        "nima_tower/1/model.py",
        "nima_tower/1/processor.py",
    }
    assert first[Path("nima_tower/1/model.onnx")] == onnx_file.read_bytes()
    write_repository(onnx_file, tmp_path)
    assert _contents(tmp_path) == first


def test_the_server_gets_the_very_preprocessing_that_training_imports(
    description: dict[str, Any],
) -> None:
    import siamese_nima.preprocessing

    source = Path(siamese_nima.preprocessing.__file__)
    assert installed_preprocessing() == source
    written = repository_files(_tower(description))
    assert written[Path("nima_preprocess/1/preprocessing.py")] == source.read_bytes()


def test_sizes_come_from_the_tower(description: dict[str, Any]) -> None:
    written = repository_files(_tower(description, image_size=[299, 301]))
    configs = {path: text for path, text in written.items() if path.suffix == ".pbtxt"}
    with_pixels = {path for path, text in configs.items() if b"PIXELS" in text}
    assert with_pixels == {
        path for path, text in configs.items() if b"dims: [ 299, 301, 3 ]" in text
    } | {Path("nima/config.pbtxt")}


def test_another_version_of_the_preprocessing_is_refused(
    onnx_file: Path, description: dict[str, Any], tmp_path: Path
) -> None:
    model = onnx.load(onnx_file)
    del model.metadata_props[:]
    text = json.dumps(description | {"preprocessing_version": 99})
    onnx.helper.set_model_props(model, {"tower.json": text})
    onnx.save(model, tmp_path / "future.onnx")
    with pytest.raises(ContractError, match="version 99"):
        write_repository(tmp_path / "future.onnx", tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"image_size": [224]},
        {"image_size": [0, 224]},
        {"image_size": "224"},
        {"interpolation": "bicubic"},
        {"preprocessing_version": None},
    ],
)
def test_a_description_that_is_wrong_is_refused(
    description: dict[str, Any], changes: dict[str, Any]
) -> None:
    with pytest.raises(ContractError, match="a test"):
        _tower(description, **changes)


def _imported(source: bytes) -> set[str]:
    """The top-level names of what a module imports when it runs."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    modules = [
        module
        for node in ast.walk(tree)
        for module in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    ]
    return {module.partition(".")[0] for module in modules}


def test_server_code_imports_nothing_that_the_server_lacks(description: dict[str, Any]) -> None:
    served = {
        path: _imported(text)
        for path, text in repository_files(_tower(description)).items()
        if path.suffix == ".py"
    }
    ours = {"iq_tools", "iq_client", "siamese_nima", "tensorflow", "keras"}
    assert {path for path, modules in served.items() if modules & ours} == set()
    beside = {"processor", "counter", "preprocessing"}
    for path, modules in served.items():
        assert all(path.with_name(f"{module}.py") in served for module in modules & beside)
