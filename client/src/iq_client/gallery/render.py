"""The page as text: records of photos, styles, scripts and thumbnails put into its template."""

from __future__ import annotations

import base64
import hashlib
import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from importlib import resources
from typing import Any, Final

from iq_client.metadata.exif import Shot
from iq_client.ranking import KEYS
from iq_client.results import Group, RankedImage, SetKind

_STYLE: Final = "gallery.css"
_SCRIPTS: Final = (
    "data.js", "marks.js", "zoom.js", "viewer.js", "cards.js", "grid.js", "filters.js", "export.js",
    "server.js", "start.js",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Membership:
    """A photo's group on a page.

    Attributes:
        number: The same for all of a group.
        kind: What they are together, if they are a set.
    """

    number: int
    kind: SetKind | None


@dataclass(frozen=True, slots=True)
class Picture:
    """Facts of a photo that a page shows beside its score.

    Attributes:
        size: Width and height in pixels, of the thumbnail or in its proportion; None where the
            photo cannot be shown.
        shot: Its time and camera are shown.
        original: Address of the file, relative to the page; None where it has none.
        thumbnail: Address of the thumbnail, for a page whose thumbnails are not inside.
    """

    size: tuple[int, int] | None
    shot: Shot
    original: str | None = None
    thumbnail: str | None = None


def record(row: RankedImage, group: Membership | None, picture: Picture) -> dict[str, Any]:
    """A photo as the page's scripts know it.

    Args:
        row: Rank among all photos, and score.
        group: Its group; None for a photo alone.
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
    taken = picture.shot.taken
    known = {
        "group": group and group.number,
        "kind": group and group.kind,
        "size": picture.size,
        "original": picture.original,
        "thumbnail": picture.thumbnail,
        "taken": taken and taken.replace(tzinfo=None).isoformat(timespec="seconds"),
        "camera": picture.shot.camera,
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
) -> tuple[list[RankedImage], list[Membership | None]]:
    """All images, each with its rank among all of them, and its group; None of one alone.

    The members of a bracket, stack or panorama have one rank.

    Raises:
        ValueError: The groups are ordered by different keys.
    """
    rows: list[RankedImage] = []
    groups: list[Membership | None] = []
    entries: list[list[int]] = []  # rows that have one rank, the best in front
    items: Sequence[RankedImage | Group] = images
    for number, item in enumerate(items):
        members = item.images if isinstance(item, Group) else (item,)
        kind = item.kind if isinstance(item, Group) else None
        places = [len(rows) + place for place, row in enumerate(members) if row.score.ok]
        entries += [places] if kind and places else [[place] for place in places]
        rows.extend(members)
        groups.extend([Membership(number, kind) if len(members) > 1 else None] * len(members))
    keys = {item.key for item in items if isinstance(item, Group)}
    if len(keys) > 1:
        raise ValueError(
            f"groups of one page are ordered by one key, not by {', '.join(sorted(keys))}"
        )
    for key in keys:
        value = KEYS[key]
        entries.sort(key=lambda entry: -value(rows[entry[0]].score))
        for place, entry in enumerate(entries, start=1):
            for index in entry:
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
