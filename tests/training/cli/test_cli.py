"""The group: help, version, and errors as one line with an exit code."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import Result

from iq_serving.preprocessing import ImageError
from siamese_nima import errors
from siamese_nima.cli import main

Run = Callable[..., Result]


def commands(group: click.Group) -> list[list[str]]:
    """The words of every command and group."""
    words: list[list[str]] = [[]]
    for name, command in group.commands.items():
        inner = commands(command) if isinstance(command, click.Group) else [[]]
        words += [[name, *rest] for rest in inner]
    return words


@pytest.mark.parametrize("words", commands(main), ids=" ".join)
def test_every_command_has_help(run: Run, words: list[str]) -> None:
    short, long = run(*words, "-h"), run(*words, "--help")
    assert short.exit_code == 0
    assert short.output == long.output
    assert short.output.startswith("Usage: siamese-nima")


def test_the_version(run: Run) -> None:
    assert run("--version").output == f"siamese-nima {version('siamese-nima')}\n"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (errors.SiameseNimaError("it is so"), 1, "Error: it is so\n"),
        (errors.DataError("bad rows"), 1, "Error: bad rows\n"),
        (errors.TrainingError("not finite"), 1, "Error: not finite\n"),
        (errors.WeightsError("no file"), 1, "Error: no file\n"),
        (errors.ConfigError("no key"), 2, "Error: no key\n"),
        (errors.UnknownTowerError("no tower"), 2, "Error: no tower\n"),
        (ImageError("EMPTY", "no bytes"), 1, "Error: EMPTY: no bytes\n"),
        (FileNotFoundError("no folder x"), 1, "Error: no folder x\n"),
        (PermissionError(13, "Permission denied", "x"), 1, "Permission denied: 'x'\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_errors_that_can_be_mended_are_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    @click.command()
    def fail() -> None:
        raise error

    monkeypatch.setitem(main.commands, "fail", fail)
    result = run("fail")
    assert result.exit_code == code
    assert result.stderr.endswith(line)
    assert result.stderr.count("\n") == 1


def test_other_errors_keep_their_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(main.commands, "fail", fail)
    assert isinstance(run("fail").exception, ZeroDivisionError)


def test_a_place_that_cannot_be_written_is_named(
    run: Run, labelled: Path, saved_models: tuple[Path, Path]
) -> None:
    there = labelled / "folder"
    there.mkdir()
    result = run("predict", labelled / "photos", "--model", saved_models[0], "-o", there)
    assert result.exit_code == 1
    assert str(there) in result.stderr.splitlines()[-1]
    assert isinstance(result.exception, SystemExit)
