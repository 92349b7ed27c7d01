"""The option --html."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from iq_client.cli.output import FileToWrite
from iq_client.cli.progress import progress
from iq_client.errors import InputError
from iq_client.images.source import Source
from iq_client.results import Group, RankedImage

if TYPE_CHECKING:
    from PIL import Image

html_option = click.option(
    "--html",
    type=FileToWrite(),
    metavar="FILE",
    help="Write a gallery as well: one file to open in a browser.",
)


class Gallery:
    """The page that --html asks for, and the photos that are opened again after scoring."""

    def __init__(self, path: Path | None, *, keep: bool = False) -> None:
        """Takes the file, or None for no gallery.

        Args:
            path: The file.
            keep: Whether photos are to be opened even without a gallery.
        """
        self._path = path
        self._keep = keep or path is not None
        self._sources: dict[str, Source] = {}

    def keep(self, sources: Iterable[Source]) -> Iterator[Source]:
        """The same sources, kept as they pass where they are to be opened again."""
        for source in sources:
            if self._keep:
                self._sources[source.name] = source
            yield source

    def write(
        self,
        images: Sequence[RankedImage] | Sequence[Group],
        left_out: Mapping[str, int] | None = None,
    ) -> None:
        """Writes the page, with progress on a terminal.

        Args:
            images: A ranking or groups of the sources that passed.
            left_out: Counts of files that lay beside them, by kind.

        Raises:
            click.FileError: The file cannot be written.
        """
        if self._path is None:
            return
        from iq_client.gallery import write_gallery  # brings Pillow, which takes a while

        total = sum(len(item.images) if isinstance(item, Group) else 1 for item in images)
        try:
            with progress("thumbnails", total) as bar:
                write_gallery(
                    self._path,
                    images,
                    left_out=left_out,
                    open_image=self.open,
                    on_photo=bar.advance,
                )
        except OSError as error:
            raise click.FileError(str(self._path), error.strerror) from error

    def open(self, name: str) -> Image.Image:
        """The image of a source that passed.

        Raises:
            OSError: It cannot be read.
        """
        from PIL import Image

        try:
            # As it was sent: of a RAW file the preview, of a HEIC file what was decoded.
            return Image.open(io.BytesIO(self._sources[name].load()))
        except InputError as error:
            raise OSError(str(error)) from error
