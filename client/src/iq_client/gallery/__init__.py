"""A ranking as one HTML file that needs nothing else: no server, no network, no other file."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import string
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from iq_client.files import replacing
from iq_client.gallery.thumbnails import Thumbnail, bytes_per_thumbnail, thumbnail
from iq_client.ranking import KEYS
from iq_client.results import Group, RankedImage

__all__ = ["write_gallery"]

_THUMBNAILS_PER_BLOCK = 64  # the page reads a block when one of its photos comes into view


def write_gallery(
    path: str | Path,
    images: Sequence[RankedImage] | Sequence[Group],
    *,
    title: str = "Photos by quality",
    open_image: Callable[[str], Image.Image] = Image.open,
    on_photo: Callable[[], None] | None = None,
) -> None:
    """Write a ranking, or groups of near-identical images, as an HTML page.

    The page holds a thumbnail of every photo and works from a disk, a mail or a web server alike.
    Where the photos still lie at the same place beside it, a photo that is opened is shown in full
    size. The more photos, the smaller their thumbnails: up to 16,000 of them take 40 MB at most.

    Args:
        path: The file to write; it is replaced.
        images: `Client.rank_images(...)`, or groups, which are shown folded under their best.
        title: The page's heading.
        open_image: Gives the image of a score's `source`, which is taken as a path by default.
            What it cannot open (`OSError`) is shown without a picture.
        on_photo: Called from another thread after each thumbnail.

    Raises:
        OSError: The file cannot be written.
        ValueError: The groups are ordered by different keys.
    """
    page = Path(path)
    rows, groups = _flat(images)
    max_bytes = bytes_per_thumbnail(len(rows))

    def picture(row: RankedImage) -> Thumbnail | None:
        try:
            with open_image(row.score.source) as image:
                small = thumbnail(image, max_bytes)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            small = None  # Pillow's decoders raise all of these on broken files
        if on_photo:
            on_photo()
        return small

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pictures = list(pool.map(picture, rows))
    photos = [
        _photo(row, group, small, page.parent)
        for row, group, small in zip(rows, groups, pictures, strict=True)
    ]
    blocks = [
        [small.data_uri if small else None for small in pictures[start:][:_THUMBNAILS_PER_BLOCK]]
        for start in range(0, len(pictures), _THUMBNAILS_PER_BLOCK)
    ]
    style, script = _part("gallery.css"), _part("gallery.js")
    text = string.Template(_part("gallery.html")).substitute(
        title=escape(title),
        style=style,
        style_hash=_csp_hash(style),
        script=script,
        script_hash=_csp_hash(script),
        photos=_data({"block": _THUMBNAILS_PER_BLOCK, "photos": photos}),
        thumbnails="\n".join(
            f'<script type="application/json" class="thumbnails">{_data(block)}</script>'
            for block in blocks
        ),
    )
    with replacing(page) as stream:
        # A title may be made from a file name that is not valid Unicode.
        stream.write(text.encode("utf-8", "backslashreplace"))


def _flat(
    images: Sequence[RankedImage] | Sequence[Group],
) -> tuple[list[RankedImage], list[int | None]]:
    """All images, each with its rank among all of them, and the number of its group."""
    rows: list[RankedImage] = []
    groups: list[int | None] = []
    items: Sequence[RankedImage | Group] = images
    for number, item in enumerate(items):
        members = item.images if isinstance(item, Group) else (item,)
        rows.extend(members)
        groups.extend([number if len(members) > 1 else None] * len(members))
    keys = {item.key for item in items if isinstance(item, Group)}
    if len(keys) > 1:
        raise ValueError(
            f"groups of one page are ordered by one key, not by {', '.join(sorted(keys))}"
        )
    for key in keys:
        value = KEYS[key]
        best_first = sorted(
            (index for index, row in enumerate(rows) if row.score.ok),
            key=lambda index: -value(rows[index].score),
        )
        for place, index in enumerate(best_first, start=1):
            rows[index] = RankedImage(place, rows[index].score)
    return rows, groups


def _photo(
    row: RankedImage, group: int | None, small: Thumbnail | None, folder: Path
) -> dict[str, Any]:
    score = row.score
    photo: dict[str, Any] = {"name": score.source, "rank": row.rank}
    if score.error is None:
        photo["mean"] = round(score.mean, 4)
        photo["std"] = round(score.std, 4)
        if score.percentile is not None:
            photo["percentile"] = round(score.percentile)
        photo["p"] = [round(probability, 4) for probability in score.distribution]
    else:
        photo["error"] = [score.error.code, score.error.message]
    if small is not None:
        photo["size"] = [small.width, small.height]
    if group is not None:
        photo["group"] = group
    if Path(score.source).is_file():
        # Quoted whole, so that no name is taken for a scheme, a query or markup.
        relative = os.path.relpath(Path(score.source).resolve(), folder.resolve())
        photo["original"] = quote(os.fsencode(relative))
    return photo


def _part(name: str) -> str:
    return (resources.files(__name__) / name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()


def _data(value: object) -> str:
    """JSON that cannot end the script element it stands in, whatever the file names say."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)  # ASCII, by default
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
