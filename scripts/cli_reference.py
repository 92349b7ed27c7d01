"""Writes the reference part of docs/reference/cli.md from the commands themselves.

    python scripts/cli_reference.py docs/reference/cli.md

The part of that file above the marker is kept.
"""

from __future__ import annotations

import inspect
import re
import sys
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
    for name in cli.list_commands(context):
        command = cli.commands[name]
        sub = click.Context(command, info_name=name, parent=context)
        usage = " ".join(["iq-client", name, *command.collect_usage_pieces(sub)])
        text = inspect.cleandoc(command.help or "")
        parts.append(f"## `iq-client {name}`\n\n```text\n{usage}\n```\n\n{text}")
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
