"""The examples of docs/guides/client.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from iq_client import LocalServer

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "client.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_the_page_has_examples() -> None:
    assert len(EXAMPLES) >= 8


@pytest.mark.slow  # starts a server of its own
def test_the_examples_run_in_their_order(
    stub_server: LocalServer,
    stub_repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for extra in ("imagehash", "pyarrow", "pandas"):
        pytest.importorskip(extra)
    (tmp_path / "photos").mkdir()
    noise = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        pixels = noise.integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.jpg")
    (tmp_path / "model_repository").symlink_to(stub_repository)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IQ_URL", stub_server.url)
    names: dict[str, Any] = {}
    for example in EXAMPLES:
        # The address that the page gives as that of a running server.
        exec(example.replace("localhost:8001", stub_server.url), names)  # the page is ours
    assert names["good"].ok
    assert len(names["frame"]) == len(names["table"]) == len(names["records"]) == 3
    assert "iq-client serve" in str(names["caught"])
