"""Ratings written to photos: into sidecars, or into JPEGs themselves, with a list to undo it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from iq_client.files import write_file
from iq_client.metadata import jpeg
from iq_client.metadata.xmp import MOST_STARS, REJECTED, Rating, merge

SidecarName: TypeAlias = Literal["a.jpg.xmp", "a.xmp"]

SHARES: Final = (5.0, 20.0, 60.0, 90.0)
_JPEGS: Final = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})


def stars_by_share(count: int, shares: Sequence[float] = SHARES, reject: float = 0.0) -> list[int]:
    """Stars for photos in the order of a ranking, by their place in it.

    Args:
        count: Number of photos.
        shares: Percent of the photos that have 5 stars, 4 or more, 3 or more, 2 or more.
        reject: Percent of the photos, the last ones, that are rejects.

    Returns:
        1…5, or -1, for each place.
    """
    kept = count - count * reject / 100
    return [
        REJECTED
        if place >= kept
        else MOST_STARS - sum(place >= count * share / 100 for share in shares)
        for place in range(count)
    ]


def stars_by_mean(mean: float, means: Sequence[float], reject: float = 0.0) -> int:
    """Stars for a mean.

    Args:
        mean: A score's.
        means: What 5, 4, 3 and 2 stars begin with, falling.
        reject: Lower means are rejects.

    Returns:
        1…5, or -1.
    """
    if mean < reject:
        return REJECTED
    return MOST_STARS - sum(mean < least for least in means)


@dataclass(frozen=True, slots=True)
class Change:
    """A file as it is, and as it is to be.

    Attributes:
        path: A sidecar, or a JPEG.
        before: Its bytes; None where it does not exist yet.
        after: Its bytes with the rating.
        embedded: Whether the rating is in the photo itself.
    """

    path: Path
    before: bytes | None
    after: bytes
    embedded: bool


def plan(
    photo: Path, rating: Rating, *, embed: bool = False, name: SidecarName = "a.jpg.xmp"
) -> Change:
    """The change that gives a photo its rating; nothing is written.

    Args:
        photo: A photo.
        rating: Its rating.
        embed: Into the photo itself where it is a JPEG; others get a sidecar.
        name: Form of the sidecar's name. One that is there in the other form is used as it is.

    Raises:
        OSError: A file cannot be read.
        ValueError: What is there is no XMP, or does not fit into a JPEG.
    """
    if embed and photo.suffix.lower() in _JPEGS:
        data = photo.read_bytes()
        after = jpeg.replace(data, jpeg.XMP, merge(_packet(data), rating))
        return Change(photo, data, after, embedded=True)
    forms = [photo.with_name(f"{photo.name}.xmp"), photo.with_suffix(".xmp")]
    if name == "a.xmp":
        forms.reverse()
    sidecar = next((form for form in forms if form.exists()), forms[0])
    before = sidecar.read_bytes() if sidecar.exists() else None
    return Change(sidecar, before, merge(before, rating), embedded=False)


class UndoList:
    """Lines of what files were before they were changed; `undo` takes it."""

    def __init__(self, path: Path) -> None:
        """Takes the file, which is made with the first change; lines are added to it."""
        self.path = path

    def apply(self, change: Change) -> None:
        """Notes what a file was, and then changes it; raises `OSError`."""
        before, after = change.before, change.after
        if change.embedded and before is not None:
            # The segment alone: with it the photo can be made as it was, byte for byte.
            before, after = _packet(before), _packet(after) or b""
        row = {
            "file": str(change.path.resolve()),
            "embedded": change.embedded,
            "before": None if before is None else base64.b64encode(before).decode(),
            "written": hashlib.sha256(after).hexdigest(),
        }
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(row) + "\n")
            lines.flush()
            os.fsync(lines.fileno())
        write_file(change.path, change.after)


def undo(path: Path) -> Iterator[tuple[Path, bool]]:
    """Makes files as they were, the last change first.

    Args:
        path: What an `UndoList` wrote.

    Yields:
        Each file, and whether it is as it was before: one that another program has changed since,
        or that is gone, is left as it is.

    Raises:
        OSError: A file cannot be read or written.
        ValueError: The list is none, or a JPEG is damaged.
    """
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        entries = [
            (Path(row["file"]), row["embedded"], row["written"],
             None if row["before"] is None else base64.b64decode(row["before"]))
            for row in reversed(rows)
        ]  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no list of changes to undo") from error
    first = {file: before for file, _, _, before in entries}  # the oldest line comes last
    for file, embedded, written, before in entries:
        data = file.read_bytes() if file.exists() else None
        current = _packet(data) if embedded and data else data
        if current == first[file] and (data is not None or not embedded):
            yield file, True  # taken back before, or never written
            continue
        if hashlib.sha256(current or b"").hexdigest() != written:
            yield file, False
            continue
        if embedded and data is not None:
            write_file(file, jpeg.remove(data, jpeg.XMP) if before is None
                   else jpeg.replace(data, jpeg.XMP, before))  # fmt: skip
        elif before is None:
            file.unlink()
        else:
            write_file(file, before)
        yield file, True


def _packet(photo: bytes) -> bytes | None:
    """The XMP packet in a JPEG, where it has one."""
    found = jpeg.find(photo, jpeg.XMP)
    return None if found is None else found.content.removeprefix(jpeg.XMP)
