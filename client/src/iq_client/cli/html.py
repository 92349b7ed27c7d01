"""The option --html."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from iq_client.cli.output import FileToWrite
from iq_client.cli.pictures import Pictures
from iq_client.cli.progress import progress
from iq_client.results import Group, RankedImage

html_option = click.option(
    "--html",
    type=FileToWrite(),
    metavar="FILE",
    help="Write a gallery as well: one file to open in a browser.",
)


def write_page(
    path: Path | None,
    images: Sequence[RankedImage] | Sequence[Group],
    pictures: Pictures,
    left_out: Mapping[str, int],
) -> None:
    """Writes the page that --html asks for, with progress on a terminal.

    Args:
        path: The file, or None for no page.
        images: A ranking or groups of the photos.
        pictures: Knows them.
        left_out: Counts of files that lay beside them, by kind.

    Raises:
        click.FileError: The file cannot be written.
    """
    if path is None:
        return
    from iq_client.gallery import write_gallery  # brings Pillow, which takes a while

    total = sum(len(item.images) if isinstance(item, Group) else 1 for item in images)
    try:
        with progress("thumbnails", total) as bar:
            write_gallery(
                path, images, left_out=left_out, open_image=pictures.open, on_photo=bar.advance
            )
    except OSError as error:
        raise click.FileError(str(path), error.strerror) from error
