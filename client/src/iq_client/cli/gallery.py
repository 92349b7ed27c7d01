"""The option --html."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from iq_client.cli.output import FileToWrite
from iq_client.cli.progress import progress
from iq_client.errors import InputError
from iq_client.images.kinds import SERVED
from iq_client.images.source import Source
from iq_client.results import Group, RankedImage

if TYPE_CHECKING:
    from PIL import Image

    from iq_client.gallery.copies import SmallCopies

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
            keep: Whether photos are to be opened without a gallery as well.
        """
        self._path = path
        self._keep = keep or path is not None
        self._sources: dict[str, Source] = {}
        self._copies: SmallCopies | None = None
        self._lock = threading.Lock()  # sources are read by several threads

    def keep(self, sources: Iterable[Source]) -> Iterator[Source]:
        """The same sources, kept as they pass where they are to be opened again."""
        for source in sources:
            if self._keep:
                self._sources[source.name] = source
            if self._path is None:
                yield source
                continue
            served = source.path is not None and source.path.suffix.lower() in SERVED
            # Downloading or developing a photo again would cost more than a small copy does.
            yield source if served else replace(source, load=partial(self._load, source))

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
        """The image of a source that passed, or a small copy of it.

        Raises:
            OSError: It cannot be read.
        """
        if self._copies is not None and (copy := self._copies.open(name)) is not None:
            return copy
        return self.open_original(name)

    def open_original(self, name: str) -> Image.Image:
        """The image of a file that passed, read once more.

        Raises:
            OSError: It cannot be read, or is a download, which is not repeated.
        """
        from iq_client.images.picture import opened

        source = self._sources[name]
        if not source.is_file:
            raise OSError(f"{name} is no file")
        try:
            # As it was sent: of a RAW file the preview, of a HEIC file what was decoded.
            return opened(source.load())
        except InputError as error:
            raise OSError(str(error)) from error

    def _load(self, source: Source) -> bytes:
        data = source.load()
        with self._lock:
            if self._copies is None:
                from iq_client.gallery.copies import SmallCopies  # brings Pillow

                self._copies = SmallCopies()
        self._copies.add(source.name, data)
        return data
