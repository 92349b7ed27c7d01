"""Photos looked at while they are read to be sent, so that what is shown of them costs no reading.

What is looked for needs a photo decoded: its reasons and a copy that is large enough for a
thumbnail. Both are taken of the bytes that go to the server, in one decoding.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from iq_client.errors import InputError
from iq_client.images.kinds import SERVED
from iq_client.images.source import Source
from iq_client.results import Reason

if TYPE_CHECKING:
    from PIL import Image

    from iq_client.gallery.copies import SmallCopies

# Of copies on disk: those of about 1,500 photos. Files behind them are read again for the page;
# what would cost more to read again than a copy does has one in any case.
_COPIES_BYTES: Final = 256 * 2**20


class Pictures:
    """The photos of a command that are opened after scoring. May be used by several threads."""

    def __init__(self, *, copies: bool, reasons: bool) -> None:
        """Begins without photos.

        Args:
            copies: Whether pictures of them are shown: copies are taken as they are read, and the
                reasons at the same time, if wanted.
            reasons: Whether their reasons may be asked for.
        """
        self._sources: dict[str, Source] = {}
        self._reasons: dict[str, tuple[Reason, ...] | None] = {}
        self._wanted = copies or reasons
        self._explaining = reasons
        self._copies: SmallCopies | None = None
        # More are read at once than there are processors, and decoding takes memory.
        self._decoders = threading.Semaphore(os.cpu_count() or 1)
        if copies:
            from iq_client.gallery.copies import SmallCopies  # brings Pillow, which takes a while

            self._copies = SmallCopies()

    def watch(self, sources: Iterable[Source]) -> Iterator[Source]:
        """The same sources; one that is read is looked at where its picture is to be shown."""
        for source in sources:
            if self._wanted:
                self._sources[source.name] = source
            looked_at = self._copies is not None
            yield replace(source, load=partial(self._load, source)) if looked_at else source

    def reasons(self, name: str) -> tuple[Reason, ...] | None:
        """The reasons of a photo that passed; read once more where it was not looked at.

        Returns:
            None where it cannot be read, or is a download, which is not repeated.
        """
        source = self._sources[name]
        if name not in self._reasons and source.is_file:
            with contextlib.suppress(InputError):  # gone since it was scored
                self._look(source, source.load())
        return self._reasons.get(name)

    def open(self, name: str) -> Image.Image:
        """The image of a photo that passed, or a small copy of it.

        Raises:
            OSError: It cannot be read, or is a download, which is not repeated.
        """
        from iq_client.images.picture import opened

        if self._copies is not None and (copy := self._copies.open(name)) is not None:
            return copy
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
        self._look(source, data)
        return data

    def _look(self, source: Source, data: bytes) -> None:
        """Takes what is wanted of a photo while its bytes are there; of a broken one nothing."""
        from iq_client.images.picture import opened
        from iq_client.reasons import find_reasons

        self._reasons[source.name] = None
        # Decoders raise whatever the damage leads them to; a full disk raises OSError.
        with self._decoders, contextlib.suppress(Exception), opened(data) as image:
            if self._explaining:  # first: it may decode at a smaller scale than a copy needs
                self._reasons[source.name] = find_reasons(image)
            if self._copies is not None and (
                self._copies.size < _COPIES_BYTES or _is_costly(source)
            ):
                self._copies.add(source.name, image)


def _is_costly(source: Source) -> bool:
    """True for what is downloaded or developed when it is read."""
    return source.path is None or source.path.suffix.lower() not in SERVED
