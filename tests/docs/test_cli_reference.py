"""The references of the three command lines are those of the commands."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
from scripts.cli_reference import FOLDER, PAGES, with_reference


def commands(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    for each, command in group.commands.items():
        yield f"{name} {each}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {each}")


@pytest.mark.parametrize("page", PAGES)
def test_the_reference_is_current_and_whole(page: str) -> None:
    text = (FOLDER / page).read_text(encoding="utf-8")
    assert with_reference(text, *PAGES[page]) == text, "run: python scripts/cli_reference.py"
    name, cli = PAGES[page]
    for path, command in commands(cli, name):
        assert f"## `{path}`" in text
        for param in command.params:
            for option in param.opts:
                if option.startswith("-"):
                    assert re.search(rf"`[^`]*(?<![\w-]){option}\b", text), (path, option)


def test_a_page_without_the_marker_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks"):
        with_reference("# A page\n", *PAGES["cli.md"])
