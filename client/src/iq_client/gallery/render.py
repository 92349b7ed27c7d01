"""The page as text: records of photos, styles, scripts and thumbnails put into its template."""

from __future__ import annotations

import base64
import hashlib
import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from importlib import resources
from typing import Any, Final

from iq_client.gallery.facts import Facts
from iq_client.ranking import KEYS
from iq_client.results import Group, RankedImage

_STYLE: Final = "gallery.css"
_SCRIPTS: Final = (
    "data.js", "marks.js", "zoom.js", "viewer.js", "cards.js", "grid.js", "filters.js", "export.js",
    "server.js", "start.js",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Picture:
    """What a page shows of a photo beside its score.

    Attributes:
        size: Width and height in pixels, of the thumbnail or in its proportion; None where the
            photo cannot be shown.
        facts: Time and camera.
        original: Address of the file, relative to the page; None where it has none.
        thumbnail: Address of the thumbnail, for a page whose thumbnails are not inside.
    """

    size: tuple[int, int] | None
    facts: Facts
    original: str | None = None
    thumbnail: str | None = None


def record(row: RankedImage, group: int | None, picture: Picture) -> dict[str, Any]:
    """A photo as the page's scripts know it.

    Args:
        row: Rank among all photos, and score.
        group: The number of its group; None for a photo alone.
        picture: What is shown of it.
    """
    score = row.score
    photo: dict[str, Any] = {"name": score.source, "rank": row.rank}
    if score.error is None:
        photo["mean"] = round(score.mean, 4)
        photo["std"] = round(score.std, 4)
        if score.percentile is not None:
            photo["percentile"] = round(score.percentile)
        if row.reasons:
            photo["reasons"] = row.reasons
        photo["p"] = [round(probability, 4) for probability in score.distribution]
    else:
        photo["error"] = [score.error.code, score.error.message]
    known = {
        "group": group,
        "size": picture.size,
        "original": picture.original,
        "thumbnail": picture.thumbnail,
        **asdict(picture.facts),
    }
    return photo | {key: value for key, value in known.items() if value is not None}


def render(
    title: str,
    photos: Sequence[dict[str, Any]],
    *,
    left_out: Mapping[str, int] | None = None,
    thumbnails: Sequence[str | None] = (),
    block: int = 1,
    served: bool = False,
) -> str:
    """The page as HTML.

    Args:
        title: Its heading.
        photos: Records, in the order of their first showing.
        left_out: Counts of files that lay beside the photos, by kind.
        thumbnails: `data:` addresses, one for each photo, where the page has them inside.
        block: Thumbnails that the page parses at once.
        served: Whether a `GalleryServer` keeps the marks; else the browser does.
    """
    style = _part(_STYLE)
    # In a block of its own: none of the scripts' names are the page's.
    script = '"use strict";\n{\n' + "\n".join(_part(name) for name in _SCRIPTS) + "}\n"
    data = {
        "id": _identity(photos),
        "block": block,
        "served": served,
        "left_out": dict(left_out or {}),
        "photos": photos,
    }
    return string.Template(_part("gallery.html")).substitute(
        title=escape(title),
        style=style,
        style_hash=_csp_hash(style),
        script=script,
        script_hash=_csp_hash(script),
        photos=_data(data),
        thumbnails="\n".join(
            '<script type="application/json" class="thumbnails">'
            f"{_data(thumbnails[start : start + block])}</script>"
            for start in range(0, len(thumbnails), block)
        ),
    )


def flattened(
    images: Sequence[RankedImage] | Sequence[Group],
) -> tuple[list[RankedImage], list[int | None]]:
    """All images, each with its rank among all of them, and the number of its group.

    Raises:
        ValueError: The groups are ordered by different keys.
    """
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
            rows[index] = replace(rows[index], rank=place)
    return rows, groups


def _identity(photos: Sequence[dict[str, Any]]) -> str:
    """A name for these photos: a page that is made anew finds the marks of the one before."""
    names = "\0".join(sorted(photo["name"] for photo in photos))
    return hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _part(name: str) -> str:
    return (resources.files("iq_client.gallery") / "page" / name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()


def _data(value: object) -> str:
    """JSON that cannot end the script element it stands in, whatever the file names say."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)  # ASCII, by default
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
