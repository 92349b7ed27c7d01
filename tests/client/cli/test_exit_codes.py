"""Statuses of the command line: the documented ones, and those of the exceptions."""

from __future__ import annotations

import click
import pytest
from tests.client.cli.conftest import Run

from iq_client import ConnectError, ImageError, InputError, IQClientError, Score, ScoringError
from iq_client.cli import cli, exit_codes


def test_the_codes_are_the_documented_ones() -> None:
    codes = (exit_codes.SCORED, exit_codes.SOME_FAILED, exit_codes.NO_SERVER)
    assert (*codes, exit_codes.INTERRUPTED) == (0, 1, 3, 130)
    assert click.UsageError.exit_code == 2
    for code in (*codes, 2, exit_codes.INTERRUPTED):
        assert f"  {code:<5}" in (cli.help or "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectError("nobody"), 3),
        (ScoringError(Score.failed("a.jpg", ImageError("EMPTY", "no bytes"))), 1),
        (InputError("BAD_INPUT", "no image"), 1),
    ],
)
def test_a_command_ends_with_the_code_of_its_exception(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: IQClientError, code: int
) -> None:
    def failing(**options: object) -> None:
        raise error

    monkeypatch.setattr(cli.commands["info"], "callback", failing)
    assert run("info", code=code).stderr == f"Error: {error}\n"
