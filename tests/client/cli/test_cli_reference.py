"""The examples of docs/reference/cli.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from iq_client import LocalServer
from iq_client.cli import cli

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "cli.md"


def examples() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("iq-client ")]


@pytest.mark.parametrize("line", examples())
def test_the_examples_work(
    stub_server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in (tmp_path / "a.jpg", tmp_path / "b.jpg", photos / "c.jpg"):
        Image.linear_gradient("L").save(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IQ_URL", stub_server.url)
    result = CliRunner().invoke(cli, shlex.split(line, comments=True)[1:])
    assert result.exit_code == 0, result.output
