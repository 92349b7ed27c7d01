"""Writes the references of the three command lines from the commands themselves.

    python scripts/cli_reference.py

The part of each page above the marker is kept.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

import iq_client.cli
import iq_tools.cli
import siamese_nima.cli
from iq_client.cli.sections import OWN, SectionedCommand, sections

FOLDER: Final = Path(__file__).resolve().parents[1] / "docs" / "reference"
PAGES: Final[dict[str, tuple[str, click.Group]]] = {
    "cli.md": ("iq-client", iq_client.cli.cli),
    "cli-siamese-nima.md": ("siamese-nima", siamese_nima.cli.main),
    "cli-iq-tools.md": ("iq-tools", iq_tools.cli.cli),
}
MARKER = "<!-- From here on written by scripts/cli_reference.py: change the code instead. -->"


def reference(name: str, cli: click.Group) -> str:
    """The commands as Markdown; options that several commands share stand once, at the end."""
    # Commands keep the help option of the first context that asks them.
    context = click.Context(cli, info_name=name, **cli.context_settings)
    parts = [f"## `{name}`\n\n{_markdown(cli.help or '')}"]
    shared: dict[str, list[click.Option]] = {}
    for sub in _contexts(context):
        command, name = sub.command, sub.command_path
        usage = " ".join([name, *command.collect_usage_pieces(sub)])
        text = _markdown(command.help or "")
        parts.append(f"## `{name}`\n\n```text\n{usage}\n```\n\n{text}")
        if isinstance(command, click.Group):
            continue
        own, *others = (
            sections(sub).items()
            if isinstance(command, SectionedCommand)
            else [(OWN, [param for param in command.params if isinstance(param, click.Option)])]
        )
        parts.append(_table(own[1], sub))
        shared |= {heading: options for heading, options in others if heading not in shared}
        if others:
            names = " and ".join(
                f"[{heading} options](#{_anchor(heading)})" for heading, _ in others
            )
            parts.append(f"Also the {names}.")
    for heading, options in shared.items():
        parts.append(f"## {heading} {OWN.lower()}")
        parts.append(_table(options, context))
    return "\n\n".join(parts) + "\n"


def _contexts(parent: click.Context) -> Iterator[click.Context]:
    """The commands of a group, each with those that are below it."""
    assert isinstance(parent.command, click.Group)
    for name in parent.command.list_commands(parent):
        command = parent.command.commands[name]
        sub = click.Context(command, info_name=name, parent=parent, **command.context_settings)
        yield sub
        if isinstance(sub.command, click.Group):
            yield from _contexts(sub)


def _markdown(text: str) -> str:
    """Help as Markdown: paragraphs that click is told to leave as they are become blocks."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        f"```text\n{inspect.cleandoc(each[2:])}\n```" if each.startswith("\b\n") else each
        for each in paragraphs
    )


def with_reference(page: str, name: str, cli: click.Group) -> str:
    """The page with the part below the marker made anew.

    Raises:
        ValueError: The page has no marker.
    """
    head, marker, _ = page.partition(MARKER)
    if not marker:
        raise ValueError(f"the page lacks the line {MARKER}")
    return f"{head}{MARKER}\n\n{reference(name, cli)}"


def _table(options: list[click.Option], context: click.Context) -> str:
    rows = ["| option | |", "| --- | --- |"]
    for option in options:
        record = option.get_help_record(context)
        if record is None or "--help" in option.opts:
            continue
        names, text = (re.sub(r"\s+", " ", part).replace("|", "\\|") for part in record)
        rows.append(f"| `{names}` | {text} |")
    return "\n".join(rows)


def _anchor(heading: str) -> str:
    return f"{heading} {OWN}".lower().replace(" ", "-")


if __name__ == "__main__":
    for page, command_line in PAGES.items():
        path = FOLDER / page
        path.write_text(
            with_reference(path.read_text(encoding="utf-8"), *command_line), encoding="utf-8"
        )
