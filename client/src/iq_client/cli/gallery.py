"""The option --html."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from iq_client.cli.output import FileToWrite
from iq_client.cli.run import progress
from iq_client.results import Group, RankedImage

html_option = click.option(
    "--html",
    type=FileToWrite(),
    metavar="FILE",
    help="Write a gallery as well: one file to open in a browser.",
)


def write_html(path: Path, images: Sequence[RankedImage] | Sequence[Group]) -> None:
    """Writes a gallery, with progress on a terminal.

    Raises:
        click.FileError: The file cannot be written.
    """
    from iq_client.gallery import write_gallery

    total = sum(len(item.images) if isinstance(item, Group) else 1 for item in images)
    try:
        with progress("thumbnails", lambda: total) as advance:
            write_gallery(path, images, on_photo=advance)
    except OSError as error:
        raise click.FileError(str(path), error.strerror) from error
