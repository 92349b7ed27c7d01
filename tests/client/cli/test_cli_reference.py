"""The reference part of docs/reference/cli.md, and the examples above it."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner
from PIL import Image

from iq_client import LocalServer
from iq_client.cli import cli

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "cli.md"


@pytest.fixture
def generator() -> ModuleType:
    path = ROOT / "scripts" / "cli_reference.py"
    spec = importlib.util.spec_from_file_location("cli_reference", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_current(generator: ModuleType) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert generator.with_reference(page) == page, (
        "run: python scripts/cli_reference.py docs/reference/cli.md"
    )


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    for each, command in group.commands.items():
        yield f"{name} {each}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {each}")


def test_every_option_is_in_the_reference(generator: ModuleType) -> None:
    text = generator.reference()
    for name, command in commands(cli, "iq-client"):
        assert f"## `{name}`" in text
        for param in command.params:
            for option in param.opts:
                if option.startswith("-"):
                    assert re.search(rf"`[^`]*(?<![\w-]){option}\b", text), (name, option)


def test_links_within_the_page_lead_somewhere() -> None:
    page = PAGE.read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    }
    assert set(re.findall(r"\(#([\w-]+)\)", page)) <= headings


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


def test_a_page_without_the_marker_is_refused(generator: ModuleType) -> None:
    with pytest.raises(ValueError, match="lacks"):
        generator.with_reference("# A page\n")
