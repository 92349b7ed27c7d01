from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iq_tools.errors import GraphError, InputError
from iq_tools.graph.saved_model import open_saved_model


def test_refuses_another_signature(save_tower: Callable[..., None], tmp_path: Path) -> None:
    save_tower(tmp_path / "other", mean_name="SCORE")
    with pytest.raises(GraphError, match="SCORE"):
        open_saved_model(tmp_path / "other")


def test_refuses_a_size_that_the_signature_does_not_have(
    saved_model: Path, description: dict[str, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(saved_model, tmp_path / "copy")
    (folder / "assets.extra" / "tower.json").write_text(
        json.dumps(description | {"image_size": [32, 24]})
    )
    with pytest.raises(GraphError, match="serving contract"):
        open_saved_model(folder)


def test_what_is_no_exported_tower_says_how_to_make_one(tmp_path: Path) -> None:
    weights = tmp_path / "tiny.weights.h5"
    weights.write_bytes(b"weights")
    for path in (tmp_path, weights, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="siamese-nima export --weights FILE"):
            open_saved_model(path)


def test_a_damaged_saved_model_is_named(saved_model: Path, tmp_path: Path) -> None:
    for name, damaged in (
        ("saved_model.pb", "is damaged"),
        ("assets.extra/tower.json", "describe"),
    ):
        folder = shutil.copytree(saved_model, tmp_path / Path(name).stem)
        (folder / name).write_bytes(b"not what it was")
        with pytest.raises(GraphError, match=damaged):
            open_saved_model(folder)


def test_missing_variables_are_named(saved_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved_model, tmp_path / "copy")
    shutil.rmtree(folder / "variables")
    with pytest.raises(GraphError, match="is damaged"):
        open_saved_model(folder)
