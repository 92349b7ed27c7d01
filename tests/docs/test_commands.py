"""Every command of ours in the documents' blocks of code has a name and options that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from scripts.cli_reference import PAGES
from tests.docs.test_links import ROOT, parsed, tracked

COMMANDS = dict(PAGES.values())
DOCUMENTS = [page for page in tracked("*.md") if page.name != "CHANGELOG.md"]


def command_lines(page: Path) -> Iterator[list[str]]:
    """The words of the commands of ours in a page's blocks, from the program's name on."""
    for token in parsed(page):
        if token.type not in ("fence", "code_block") or token.info.startswith("python"):
            continue
        for line in token.content.replace("\\\n", " ").splitlines():
            for part in re.split(r" [|;] | && ", line.removeprefix("$ ")):
                found = re.match(rf"(?:\S*/)?({'|'.join(COMMANDS)})(?= |$)(.*)", part.strip())
                if found and "[OPTIONS]" not in part:
                    yield [found[1], *shlex.split(found[2], comments=True)]


def mistakes(words: list[str]) -> list[str]:
    """Names and options of a command line that do not exist."""
    command: click.Command = COMMANDS[words[0]]
    rest = words[1:]
    while isinstance(command, click.Group) and rest and rest[0][0] != "-":
        if rest[0].isupper():
            return []  # a placeholder
        if rest[0] not in command.commands and command.name == "bulk":
            rest = ["run", *rest]  # which need not be named
        if rest[0] not in command.commands:
            return [f"no command {rest[0]}"]
        command = command.commands[rest.pop(0)]
    known = {"--help", "-h"} | {name for param in command.params for name in param.opts}
    known |= {name for param in command.params for name in param.secondary_opts}
    used = (re.match(r"--[\w-]+|-[a-zA-Z0](?=$|=)", word) for word in rest)
    return [f"no option {each[0]}" for each in used if each and each[0] not in known]


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_exist(page: Path) -> None:
    found = [(shlex.join(words), mistakes(words)) for words in command_lines(page)]
    assert [each for each in found if each[1]] == []


def test_commands_are_found_and_mistakes_seen() -> None:
    assert sum(len(list(command_lines(page))) for page in DOCUMENTS) >= 50
    assert mistakes(["iq-client", "rank", "photos", "--htlm", "a.html"]) == ["no option --htlm"]
    assert mistakes(["iq-tools", "biuld"]) == ["no command biuld"]
    assert mistakes(["iq-client", "rank", "photos", "--html=a.html", "-o", "b.csv"]) == []
