"""One command from weights to a repository; the exporter is stood in for by a copy."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from iq_tools.cli import main
from iq_tools.graph.tower import read_tower


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.weights.h5"
    path.write_bytes(b"weights")
    return path


def _exporter(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    program = folder / "siamese-nima"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def _build(weights: Path, output: Path) -> tuple[int, str]:
    result = CliRunner().invoke(
        main,
        ["build", "--tower", "tiny", "--weights", str(weights), "--interpolation", "nearest",
         "--output", str(output)],
    )  # fmt: skip
    return result.exit_code, result.output


def test_weights_become_a_repository(
    saved_model: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    # The last argument is the folder to write.
    script = f'printf "%s\\n" "$@" > {asked}; for last; do :; done; cp -r {saved_model} "$last"'
    _exporter(tmp_path / "bin", script, monkeypatch)
    status, output = _build(weights, tmp_path / "repository")
    assert status == 0, output
    arguments = asked.read_text().splitlines()
    assert arguments[:7] == [
        "export", "--weights", str(weights), "--tower", "tiny", "--interpolation", "nearest",
    ]  # fmt: skip
    written = tmp_path / "repository" / "nima_tower"
    tower = read_tower(written / "1" / "model.onnx")
    assert json.loads((written / "tower.json").read_text()) == json.loads(tower.text)


def test_what_the_weights_say_is_left_to_them(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tmp_path / "asked"
    _exporter(tmp_path / "bin", f'printf "%s\\n" "$@" > {asked}; exit 1', monkeypatch)
    arguments = ["build", "--weights", "somebody/tower", "--output", str(tmp_path / "repository")]
    assert CliRunner().invoke(main, arguments).exit_code == 1
    assert asked.read_text().splitlines()[:4] == [
        "export",
        "--weights",
        "somebody/tower",
        "--output",
    ]


def test_why_an_export_failed_is_shown(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _exporter(tmp_path / "bin", "echo 'no tower tiny; there are others' >&2; exit 1", monkeypatch)
    status, output = _build(weights, tmp_path / "repository")
    assert status == 1
    assert "no tower tiny; there are others" in output
    assert not (tmp_path / "repository").exists()
