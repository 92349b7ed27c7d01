"""The examples of docs/reference/api-training.md run as they stand, on a tower that is quick."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import keras
import pandas as pd
import pytest

from iq_serving.contract import weights_folder
from siamese_nima.towers.registry import TOWERS, Tower, build_tower
from siamese_nima.towers.weights import save_weights

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "api-training.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_the_examples_run_in_their_order(
    labelled: Path, tiny: Tower, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    assert len(EXAMPLES) >= 7
    monkeypatch.setitem(TOWERS, "mobilenet", dataclasses.replace(tiny, name="mobilenet"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(labelled / "cache"))
    monkeypatch.chdir(labelled)
    keras.utils.set_random_seed(1)
    fetched = weights_folder() / "idealo" / "mobilenet-aesthetic.hdf5"
    save_weights(build_tower(TOWERS["mobilenet"]), fetched)
    record = {"tower": "mobilenet", "interpolation": "nearest"}
    fetched.with_name(fetched.name + ".json").write_text(json.dumps(record))
    names: dict[str, Any] = {}
    for example in EXAMPLES:
        exec(example, names)  # the page is ours
    assert len(names["samples"]) == len(names["learn"]) + len(names["judge"]) == 24
    assert names["position"].best >= 0
    assert len(names["frame"]) == len(pd.read_csv("scores.csv")) == 24
    assert names["scored"].errors[0] == ""
    assert names["scored"].errors[1].startswith("UNREADABLE")
    assert Path("report.html").read_text().startswith("<!DOCTYPE html>")
    first = names["frame"].set_index("source").loc["photos/0.png", "mean"]
    assert names["again"]["mean"].item() == pytest.approx(first, abs=1e-4)
    assert capsys.readouterr().out.splitlines()[-1].startswith("5.637")
