"""The option --summary: every photo and file accounted for, in numbers."""

from __future__ import annotations

import json
from pathlib import Path

import click

from iq_client.cli.output import FileToWrite
from iq_client.cli.scoring import Outcome
from iq_client.files import replacing

summary_option = click.option(
    "--summary",
    type=FileToWrite(),
    metavar="FILE",
    help="Write counts of what was scored, failed and left out, as JSON.",
)


def write_summary(path: Path | None, outcome: Outcome) -> None:
    """Writes the counts of a command as one JSON object; nothing where no file is named.

    Raises:
        click.FileError: The file cannot be written.
    """
    if path is None:
        return
    try:
        with replacing(path) as stream:
            stream.write(json.dumps(outcome.to_dict(), indent=1).encode() + b"\n")
    except OSError as error:
        raise click.FileError(str(path), error.strerror) from error
