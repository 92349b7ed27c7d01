"""Photos, and commands against the server with the stand-in model."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageFilter

from iq_client import LocalServer
from iq_client.cli import cli

Run: TypeAlias = Callable[..., Result]

EXAMPLE = Path(__file__).parents[3] / "examples" / "photos" / "brushes.jpg"
COMMAND = (sys.executable, "-c", "from iq_client.cli import main; main()")
HOSTILE = (
    "-rf.jpg",
    "a b.jpg",
    "line\nbreak.jpg",
    "\x1b[31mred\x1b[0m\x07.jpg",
    "[bold]no markup[red].jpg",
    "=cmd('x'),\"quoted\".jpg",
    "[1-3].jpg",
    "\u202egpj.jpg",
    os.fsdecode(b"latin-\xe9\xff.jpg"),
)


def environment(**values: str) -> dict[str, str]:
    """The variables of this process without the client's own, and some others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IQ_")}
    return {**kept, **values}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve files that the stand-in scores, in a folder with others that it does not see."""
    folder = tmp_path / "photos"
    (folder / "deeper").mkdir(parents=True)
    for index in range(12):
        name = f"deeper/{index:02}.jpg" if index % 3 == 0 else f"{index:02}.jpg"
        (folder / name).write_bytes(b"photo %d" % index)
    (folder / "notes.txt").write_text("no photo")
    return folder


@pytest.fixture
def blurred(tmp_path: Path) -> Path:
    """Four blurred photos, which the stand-in gives different scores, and a note."""
    folder = tmp_path / "blurred"
    folder.mkdir()
    photo = Image.open(EXAMPLE).resize((800, 630))
    for sigma in (6, 7, 8, 9):
        photo.filter(ImageFilter.GaussianBlur(sigma)).save(folder / f"{sigma}.jpg", quality=90)
    (folder / "note.txt").write_text("no photo")
    return folder


@pytest.fixture
def run(stub_server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process, against the stand-in."""
    monkeypatch.setenv("IQ_URL", stub_server.url)

    def invoke(*arguments: object, code: int = 0, stdin: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(cli, [str(each) for each in arguments], input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return invoke
