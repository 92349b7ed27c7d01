"""The command line as a whole: usage, exit codes, completion."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner
from tests.client.cli.conftest import COMMAND, Run, environment

from iq_client.cli import cli


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--copy-best", "{tmp}/best"], "--top or --min-score"),
        (["--top", "1", "--copy-best", "{photos}"], "is not empty"),
        (["--top", "1", "--link"], "--copy-best"),
        (["-o", "{tmp}/out.txt"], ".parquet"),
        (["-o", "{tmp}/out.html"], "with --html /"),
        (["-o", "{tmp}/missing/out.json"], "cannot write"),
        (["--html", "{tmp}/missing/out.html"], "cannot write"),
        (["--format", "table", "-o", "{tmp}/out.json"], "table"),
        (["--format", "xml"], "xml"),
        (["--header", "nonsense"], "NAME:VALUE"),
        (["--certificate", "{photos}/01.jpg"], "--key"),
        (["--resume", "{tmp}/out.csv"], "only .jsonl and .parquet"),
        (["--resume", "{photos}/notes.txt"], "notes.txt"),
        (["--local", "--token", "secret"], "token"),
    ],
)
def test_wrong_usage_says_what_is_wrong(
    run: Run, photos: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    given = [argument.format(tmp=tmp_path, photos=photos) for argument in arguments]
    # Known before anything is scored: that would be the end with 3.
    error = run("rank", photos, *given, "--url", "127.0.0.1:1", code=2).stderr
    assert message in error.replace("\n", " ")


@pytest.mark.parametrize("command", ["score", "rank", "groups"])
def test_no_server(run: Run, photos: Path, tmp_path: Path, command: str) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text("earlier results")
    result = run(command, photos, "--url", "127.0.0.1:1", "-o", kept, code=3)
    assert "127.0.0.1:1" in result.stderr
    assert "iq-client serve" in result.stderr
    assert kept.read_text() == "earlier results"


def test_no_repository_is_no_server(photos: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [*COMMAND, "rank", str(photos), "--model-repository", str(tmp_path)],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 3
    assert "IQ_MODEL_REPOSITORY" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(shell: str) -> None:
    run = subprocess.run(
        [*COMMAND],
        env=environment(_IQ_CLIENT_COMPLETE=f"{shell}_source"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_IQ_CLIENT_COMPLETE" in run.stdout


@pytest.mark.parametrize("words", ["rank ph", "compare a.jpg ph", "apply ph", "rank --html ph"])
def test_completion_completes_paths(words: str) -> None:
    *before, last = words.split()
    completion = BashComplete(cli, {}, "iq-client", "_IQ_CLIENT_COMPLETE")
    found = completion.get_completions(before, last)
    assert [(item.type, item.value) for item in found] == [("file", "ph")]


def commands(group: click.Group) -> Iterator[list[str]]:
    for name, command in group.commands.items():
        yield [name]
        if isinstance(command, click.Group):
            yield from ([name, *below] for below in commands(command))


def test_first_lines_of_help_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for path in ([], *commands(cli)):
        text = CliRunner().invoke(cli, [*path, "--help"]).output
        assert "..." not in text.partition("Commands:")[2], path
        first = text.split("\n\n")[1]
        assert first.endswith(".") and "\n" not in first, first
