"""Writes the reference part of docs/reference/cli.md from the commands themselves.

    python scripts/cli_reference.py docs/reference/cli.md

The part of that file above the marker is kept.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from iq_client.cli import cli
from iq_client.cli.sections import OWN, sections

MARKER = "<!-- From here on written by scripts/cli_reference.py: change the code instead. -->"


def reference() -> str:
    """The commands as Markdown; options that several commands share stand once, at the end."""
    context = click.Context(cli, info_name="iq-client")
    parts = []
    shared: dict[str, list[click.Option]] = {}
    for sub in _contexts(context):
        command, name = sub.command, sub.command_path
        usage = " ".join([name, *command.collect_usage_pieces(sub)])
        text = _markdown(command.help or "")
        parts.append(f"## `{name}`\n\n```text\n{usage}\n```\n\n{text}")
        if isinstance(command, click.Group):
            continue
        own, *others = sections(command).items()
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
        sub = click.Context(parent.command.commands[name], info_name=name, parent=parent)
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


def with_reference(page: str) -> str:
    """The page with the part below the marker made anew.

    Raises:
        ValueError: The page has no marker.
    """
    head, marker, _ = page.partition(MARKER)
    if not marker:
        raise ValueError(f"the page lacks the line {MARKER}")
    return f"{head}{MARKER}\n\n{reference()}"


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
    for path in map(Path, sys.argv[1:]):
        path.write_text(with_reference(path.read_text(encoding="utf-8")), encoding="utf-8")
