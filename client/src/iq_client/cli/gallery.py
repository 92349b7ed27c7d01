"""The option --html."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import click

from iq_client.cli.output import FileToWrite
from iq_client.cli.run import progress
from iq_client.errors import InputError
from iq_client.inputs import InputOptions, expand
from iq_client.results import Group, RankedImage

html_option = click.option(
    "--html",
    type=FileToWrite(),
    metavar="FILE",
    help="Write a gallery as well: one file to open in a browser.",
)


def write_html(
    path: Path, images: Sequence[RankedImage] | Sequence[Group], options: InputOptions
) -> None:
    """Writes a gallery, with progress on a terminal.

    Args:
        path: The file.
        images: A ranking or groups.
        options: How their sources were taken, and are now taken again.

    Raises:
        click.FileError: The file cannot be written.
    """
    from PIL import Image

    from iq_client.gallery import write_gallery

    def open_image(name: str) -> Image.Image:
        (source,) = expand(name, options)
        if source.path is not None:
            return Image.open(source.path)
        try:
            return Image.open(io.BytesIO(source.load()))  # a URL
        except InputError as error:
            raise OSError(str(error)) from error

    total = sum(len(item.images) if isinstance(item, Group) else 1 for item in images)
    try:
        with progress("thumbnails", lambda: total) as advance:
            write_gallery(path, images, open_image=open_image, on_photo=advance)
    except OSError as error:
        raise click.FileError(str(path), error.strerror) from error
