from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from iq_tools.cli import cli
from iq_tools.errors import IQToolsError


def test_the_version_is_that_of_the_package() -> None:
    result = CliRunner().invoke(cli, ["--version"], prog_name="iq-tools")
    assert result.output == f"iq-tools {version('iq-tools')}\n"


@pytest.mark.parametrize("command", [[], *([name] for name in cli.commands)])
def test_every_command_tells_of_itself(command: list[str]) -> None:
    short, long = (CliRunner().invoke(cli, [*command, option]) for option in ("-h", "--help"))
    assert short.exit_code == 0
    assert short.output == long.output
    assert short.output.startswith("Usage:")


@pytest.mark.parametrize("error", [IQToolsError, *IQToolsError.__subclasses__()])
def test_an_error_ends_as_one_line_and_its_exit_code(
    error: type[IQToolsError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error("the reason")

    monkeypatch.setitem(cli.commands, "fail", click.Command("fail", callback=fail))
    result = CliRunner().invoke(cli, ["fail"])
    assert (result.exit_code, result.output) == (error.exit_code, "Error: the reason\n")


def test_a_file_that_cannot_be_written_is_named(onnx_file: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder is to be")
    output = tmp_path / "taken" / "repository"
    result = CliRunner().invoke(
        cli, ["repository", "--onnx", str(onnx_file), "--output", str(output)]
    )
    assert result.exit_code == IQToolsError.exit_code
    assert result.output.startswith(f"Error: {output}")
    assert len(result.output.splitlines()) == 1
