"""Small copies of photos that are costly to read twice: downloads, and what is decoded here."""

from __future__ import annotations

import contextlib
import io
import tempfile
import threading
import weakref
from typing import Final

from PIL import Image

from iq_client.gallery.thumbnails import LONGEST_SIDE
from iq_client.images.picture import shown

_ORIENTATION: Final = 0x0112
_QUALITY: Final = 90  # thumbnails are made of it


class SmallCopies:
    """Pictures as large as the largest thumbnail, in a temporary file that ends with this object.

    May be used by several threads.
    """

    def __init__(self) -> None:
        """Takes no space before the first picture."""
        self._file = tempfile.SpooledTemporaryFile(max_size=2**23)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._places: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def add(self, name: str, data: bytes) -> None:
        """Keeps a copy of the image file `data`; of one that cannot be decoded none is kept."""
        copy = io.BytesIO()
        # Pillow's decoders raise all of these on broken files; a full disk raises OSError as well.
        with contextlib.suppress(OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            image = Image.open(io.BytesIO(data))
            exif = image.getexif()
            small = shown(image, LONGEST_SIDE)  # upright
            exif.pop(_ORIENTATION, None)
            small.save(copy, "WEBP", quality=_QUALITY, exif=exif)
            with self._lock:
                place = self._file.seek(0, io.SEEK_END)
                self._file.write(copy.getbuffer())
                self._places[name] = (place, copy.tell())

    def open(self, name: str) -> Image.Image | None:
        """The copy of a photo, with its EXIF; None where there is none.

        Raises:
            OSError: The temporary file cannot be read.
        """
        if name not in self._places:
            return None
        place, size = self._places[name]
        with self._lock:
            self._file.seek(place)
            return Image.open(io.BytesIO(self._file.read(size)))
