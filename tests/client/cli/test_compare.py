"""`iq-client compare`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.client.cli.conftest import Run


def test_compare(run: Run, photos: Path) -> None:
    a, b = photos / "01.jpg", photos / "02.jpg"
    result = json.loads(run("compare", a, b, "--format", "json").stdout)
    other = json.loads(run("compare", b, a, "--format", "json").stdout)
    assert result["probability_a_better"] + other["probability_a_better"] == pytest.approx(1)
    assert result["a"] == other["b"]
    assert re.search(r"(A|B) is better with a probability of \d+\.\d%", run("compare", a, b).stdout)
    assert "NOT_FOUND" in run("compare", a, "gone.jpg", code=1).stdout
    assert "two photos" in run("compare", a, photos, code=2).stderr
