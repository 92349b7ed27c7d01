from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from iq_tools.build import build_repository
from iq_tools.cli import cli
from iq_tools.errors import GraphError, InputError
from iq_tools.graph.tower import graph_of, read_tower


def test_a_saved_model_becomes_a_repository(saved_model: Path, tmp_path: Path) -> None:
    output = tmp_path / "repository"
    result = CliRunner().invoke(cli, ["build", str(saved_model), "--output", str(output)])
    assert result.exit_code == 0, result.output
    assert "largest difference from the SavedModel" in result.stderr
    files = {str(path) for path in output.rglob("*") if path.is_file()}
    assert set(result.stdout.split()) == files
    tower = read_tower(graph_of(output))
    described = json.loads((output / "nima_tower" / "1" / "tower.json").read_text())
    assert described.items() >= json.loads(tower.text).items()


def test_weights_are_to_be_exported_first(tmp_path: Path) -> None:
    weights = tmp_path / "tiny.weights.h5"
    weights.write_bytes(b"weights")
    result = CliRunner().invoke(cli, ["build", str(weights), "--output", str(tmp_path / "out")])
    assert result.exit_code == InputError.exit_code
    assert "siamese-nima export --weights FILE --output FOLDER" in result.output
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_where_a_step_refuses(saved_model: Path, tmp_path: Path) -> None:
    (tmp_path / "assets.extra").mkdir()
    for name in ("saved_model.pb", "assets.extra/tower.json"):
        (tmp_path / name).write_bytes((saved_model / name).read_bytes())
    with pytest.raises(GraphError):
        build_repository(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
