"""A tower's version is served only where its graph, its description and the configuration agree."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import onnx
import pytest

from iq_serving.contract import ContractError
from iq_serving.identity import check_version, check_versions, onnx_metadata

DESCRIPTION = {
    "tower": "tiny",
    "image_size": [24, 32],
    "interpolation": "bilinear",
    "preprocessing_version": 1,
}


def _graph(**changes: object) -> bytes:
    """An ONNX file that describes a tower; as large as one with weights."""
    weights = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [200], [0.5] * 200)
    graph = onnx.helper.make_graph([], "tiny", [], [], [weights])
    model = onnx.helper.make_model(graph)
    onnx.helper.set_model_props(model, {"tower.json": json.dumps(DESCRIPTION | changes)})
    data: bytes = model.SerializeToString()
    return data


def _lay(folder: Path, number: int, **changes: object) -> dict[str, str]:
    """Writes a version of a tower; returns the parameter that describes it."""
    data = _graph(**changes)
    described = DESCRIPTION | changes | {"sha256": hashlib.sha256(data).hexdigest()}
    (folder / str(number)).mkdir(parents=True)
    (folder / str(number) / "model.onnx").write_bytes(data)
    (folder / str(number) / "tower.json").write_text(json.dumps(described, indent=2))
    return {f"tower.{number}": json.dumps(described)}


def test_the_newest_version_speaks_for_all(tmp_path: Path) -> None:
    parameters = {
        name: text
        for number in (2, 10)
        for name, text in _lay(tmp_path, number, version=f"0.{number}").items()
    }
    assert check_versions(tmp_path, parameters).version == "0.10"
    assert check_version(tmp_path / "2", parameters).version == "0.2"


def test_versions_that_want_other_pixels_are_refused(tmp_path: Path) -> None:
    parameters = _lay(tmp_path, 1) | _lay(tmp_path, 2, interpolation="nearest")
    with pytest.raises(ContractError, match=r"24x32 bilinear .* 24x32 nearest .* --name NAME"):
        check_versions(tmp_path, parameters)


def test_a_version_that_was_laid_there_by_hand_is_refused(tmp_path: Path) -> None:
    parameters = _lay(tmp_path, 1)
    _lay(tmp_path, 2)
    with pytest.raises(ContractError, match=r"do not know: .* --model-version 2"):
        check_versions(tmp_path, parameters)


def test_a_graph_with_another_sum_is_refused(tmp_path: Path) -> None:
    parameters = _lay(tmp_path, 1)
    (tmp_path / "1" / "model.onnx").write_bytes(_graph(more="than before"))
    with pytest.raises(ContractError, match=r"half written .* iq-tools repository"):
        check_version(tmp_path / "1", parameters)


def test_a_description_that_the_configuration_does_not_know_is_refused(tmp_path: Path) -> None:
    parameters = _lay(tmp_path, 1)
    path = tmp_path / "1" / "tower.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"licence": "another"}))
    with pytest.raises(ContractError, match="not what the model's configuration says"):
        check_version(tmp_path / "1", parameters)


def test_a_graph_that_says_something_else_of_itself_is_refused(tmp_path: Path) -> None:
    parameters = _lay(tmp_path, 1)
    described = json.loads(parameters["tower.1"]) | {"interpolation": "nearest"}
    (tmp_path / "1" / "tower.json").write_text(json.dumps(described))
    with pytest.raises(ContractError, match=r"24x32 bilinear .* described as tiny for 24x32 near"):
        check_version(tmp_path / "1", {"tower.1": json.dumps(described)})


@pytest.mark.parametrize("missing", ["model.onnx", "tower.json"])
def test_a_version_with_a_file_missing_is_refused(missing: str, tmp_path: Path) -> None:
    parameters = _lay(tmp_path, 1)
    (tmp_path / "1" / missing).unlink()
    with pytest.raises(ContractError, match=rf"{missing} cannot be read .* iq-tools repository"):
        check_versions(tmp_path, parameters)


def test_the_older_layout_is_refused(tmp_path: Path) -> None:
    parameters = _lay(tmp_path, 1)
    (tmp_path / "tower.json").write_text("{}")
    with pytest.raises(ContractError, match=r"older layout, .* iq-tools repository"):
        check_versions(tmp_path, parameters)


def test_a_tower_without_a_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="has no version of the tower"):
        check_versions(tmp_path / "nowhere", {})


def test_the_metadata_is_what_onnx_reads(model_repository: Path) -> None:
    path = model_repository / "nima_tower" / "1" / "model.onnx"
    expected = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert "tower.json" in expected
    assert onnx_metadata(path) == expected


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: b"", lambda data: b"text"])
def test_a_damaged_graph_is_refused(damage: object, tmp_path: Path) -> None:
    assert callable(damage)
    path = tmp_path / "model.onnx"
    path.write_bytes(damage(_graph()))
    with pytest.raises(ContractError, match=r"model\.onnx is no ONNX file, or a damaged one"):
        onnx_metadata(path)
