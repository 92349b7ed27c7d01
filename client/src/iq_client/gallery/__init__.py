"""A ranking as one HTML file that needs nothing else: no server, no network, no other file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from urllib.parse import quote

from PIL import Image

from iq_client.files import replacing
from iq_client.gallery.render import Membership, Picture, flattened, record, render
from iq_client.gallery.thumbnails import (
    LEAST_BYTES,
    MOST_BYTES,
    PAGE_BYTES,
    bytes_per_thumbnail,
    thumbnail,
)
from iq_client.images.picture import opened
from iq_client.metadata.exif import Shot, read_shot
from iq_client.results import Group, RankedImage

__all__ = ["write_gallery"]

_BLOCK_BYTES: Final = 300_000  # of thumbnails: what a page parses at once without a stutter
_MOST_IN_BLOCK: Final = 64


def _open_file(path: str) -> Image.Image:
    return opened(Path(path).read_bytes())


def write_gallery(
    path: str | Path,
    images: Sequence[RankedImage] | Sequence[Group],
    *,
    title: str = "Photos by quality",
    left_out: Mapping[str, int] | None = None,
    open_image: Callable[[str], Image.Image] = _open_file,
    on_photo: Callable[[], None] | None = None,
) -> None:
    """Write a ranking, or groups of near-identical images, as an HTML page.

    The page holds a thumbnail of every photo and works from a disk, a mail or a web server alike.
    Where the photos still lie at the same place beside it, a photo that is opened is shown in full
    size. The more photos, the smaller their thumbnails, and those of groups are the larger
    ones: up to 16,000 photos take 40 MB at most.

    Args:
        path: The file to write; it is replaced.
        images: `Client.rank_images(...)`, or groups, which are shown folded under their best.
        title: The page's heading.
        left_out: Counts of files that lay beside the photos, by kind: named under the heading.
        open_image: Gives the image of a score's `source`, which is taken as a path by default.
            What it cannot open (`OSError`, `ValueError`) is shown without a picture.
        on_photo: Called from another thread after each thumbnail.

    Raises:
        OSError: The file cannot be written.
        ValueError: The groups are ordered by different keys.
    """
    page = Path(path)
    folder = page.parent.resolve()
    rows, groups = flattened(images)
    alone, grouped = _budgets(groups)

    def picture(row: RankedImage, group: Membership | None) -> tuple[Picture, str | None]:
        shot, size, data = Shot(), None, None
        # Pillow's decoders raise all of these on broken files.
        with (
            contextlib.suppress(OSError, ValueError, SyntaxError, Image.DecompressionBombError),
            open_image(row.score.source) as image,
        ):
            shot = read_shot(image, row.score.source)
            small = thumbnail(image, alone if group is None else grouped)
            size, data = (small.width, small.height), small.data_uri
        if on_photo:
            on_photo()
        return Picture(size, shot, _beside(folder, row.score.source)), data

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pictures = list(pool.map(picture, rows, groups))
    text = render(
        title,
        [
            record(row, group, picture)
            for row, group, (picture, _) in zip(rows, groups, pictures, strict=True)
        ],
        left_out=left_out,
        thumbnails=[data for _, data in pictures],
        block=max(1, min(_MOST_IN_BLOCK, _BLOCK_BYTES // max(alone, grouped))),
    )
    with replacing(page) as stream:
        # A title may be made from a file name that is not valid Unicode.
        stream.write(text.encode("utf-8", "backslashreplace"))


def _budgets(groups: Sequence[object]) -> tuple[int, int]:
    """Bytes of a thumbnail of a photo alone, and of one in a group, which is compared closely."""
    each = bytes_per_thumbnail(len(groups))
    members = sum(group is not None for group in groups)
    if not members or each == MOST_BYTES:
        return each, each
    alone = max(LEAST_BYTES, each // 2)
    rest = PAGE_BYTES - alone * (len(groups) - members)
    return alone, max(each, min(MOST_BYTES, rest // members))


def _beside(folder: Path, source: str) -> str | None:
    """A file's address from a page in the folder."""
    if not Path(source).is_file():
        return None
    # Quoted whole, so that no name is taken for a scheme, a query or markup.
    return quote(os.fsencode(os.path.relpath(Path(source).resolve(), folder)))
