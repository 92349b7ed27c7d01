"""Small copies of photos, taken while these are read, for what is shown of them later."""

from __future__ import annotations

import io
import tempfile
import threading
import weakref
from typing import Final

from PIL import Image

from iq_client.gallery.thumbnails import LONGEST_SIDE
from iq_client.images.picture import shown

_ORIENTATION: Final = 0x0112
_QUALITY: Final = 92  # thumbnails are made of it


class SmallCopies:
    """Pictures as large as the largest thumbnail, in a temporary file that ends with this object.

    May be used by several threads.

    Attributes:
        size: Bytes of all of them.
    """

    def __init__(self) -> None:
        """Takes no space before the first picture."""
        self._file = tempfile.SpooledTemporaryFile(max_size=2**23)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._places: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self.size = 0

    def add(self, name: str, image: Image.Image) -> None:
        """Keeps a copy of a picture, upright, with its EXIF.

        Raises:
            OSError: The picture is damaged, or the disk is full.
            Exception: The decoder's, where it is damaged.
        """
        exif = image.getexif()
        small = shown(image, LONGEST_SIDE)  # upright
        exif.pop(_ORIENTATION, None)
        copy = io.BytesIO()
        small.save(copy, "JPEG", quality=_QUALITY, subsampling=0, exif=exif)
        with self._lock:
            place = self._file.seek(0, io.SEEK_END)
            self._file.write(copy.getbuffer())
            self._places[name] = (place, copy.tell())
            self.size = place + copy.tell()

    def open(self, name: str) -> Image.Image | None:
        """The copy of a photo; None where there is none.

        Raises:
            OSError: The temporary file cannot be read.
        """
        if name not in self._places:
            return None
        place, size = self._places[name]
        with self._lock:
            self._file.seek(place)
            return Image.open(io.BytesIO(self._file.read(size)))
