from __future__ import annotations

import re

from iq_tools import errors
from iq_tools.cli import cli
from iq_tools.errors import IQToolsError


def _tree() -> list[type[IQToolsError]]:
    return [IQToolsError, *IQToolsError.__subclasses__()]


def test_the_tree_is_the_one_that_is_drawn() -> None:
    drawn = dict(re.findall(r"(\w+Error) +(\d)  ", errors.__doc__ or ""))
    assert drawn == {error.__name__: str(error.exit_code) for error in _tree()}


def test_every_exit_code_is_told_by_the_command() -> None:
    told = {int(code) for code in re.findall(r"^ +(\d+) {4}", cli.help or "", re.M)}
    assert {error.exit_code for error in _tree()} <= told
