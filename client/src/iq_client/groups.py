"""Groups of photos: bursts, copies of one picture, and sets that are one picture together.

Photos belong together when they look alike (a 64-bit perceptual hash) and, where both say when they
were taken, lie close in time. What makes a group can be replaced: a `Grouping` is any function from
fingerprints to labels. Brackets, focus stacks and panoramas are found by `iq_client.sets`.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from iq_client.images.source import Source
from iq_client.metadata.exif import Shot, read_shot
from iq_client.ranking import KEYS, rank
from iq_client.results import Group, RankKey, Score
from iq_client.sets import GREY_SIDE, find_sets

MAX_GAP: Final = 3.0  # seconds
MAX_DISTANCE: Final = 8  # bits of 64
MAX_DISTANCE_IN_BURST: Final = 18

_HASHED_SIDE = 128  # pixels; the hash itself reduces to 32
_NOTHING: Final = Shot()


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The little that grouping knows of a photo.

    Attributes:
        hash: 64-bit perceptual hash (DCT); None where the photo cannot be read.
        shot: When and how it was taken.
        grey: Levels of the picture in 32x32 pixels, row by row, where the exposure is known: tells
            brackets and panoramas. Else empty.
    """

    hash: int | None = None
    shot: Shot = _NOTHING
    grey: bytes = b""


UNKNOWN: Final = Fingerprint()

Grouping: TypeAlias = Callable[[Sequence[Fingerprint]], Sequence[Hashable]]


def fingerprint(data: bytes, name: str = "") -> Fingerprint:
    """The fingerprint of an image file.

    Args:
        data: The bytes of the file. What is no image, or has more than 200 megapixels, gives a
            fingerprint without hash.
        name: Path or name of the file, which may tell the time.

    Raises:
        ImportError: The package imagehash is not installed.
    """
    try:
        import imagehash
    except ImportError as error:
        raise ImportError("groups need imagehash: pip install 'iq-client[groups]'") from error
    from PIL import Image

    from iq_client.images.picture import opened, shown

    try:
        with opened(data) as image:
            shot = read_shot(image, name)
            small = shown(image, _HASHED_SIDE)
        bits = imagehash.phash(small).hash
    except Exception:  # decoders raise whatever the damage leads them to
        return UNKNOWN
    grey = b""
    if shot.exposure is not None:
        grey = small.convert("L").resize((GREY_SIDE,) * 2, Image.Resampling.BILINEAR).tobytes()
    return Fingerprint(int("".join("01"[int(bit)] for bit in bits.flat), base=2), shot, grey)


class Fingerprints:
    """Fingerprints of images, taken when these are read to be sent: no file is read twice."""

    def __init__(self) -> None:
        self._prints: dict[int, Fingerprint] = {}
        self._numbers = itertools.count()

    def watch(self, source: Source) -> Source:
        """The next source in order; reading it takes its fingerprint as well."""
        return replace(source, load=functools.partial(self._load, next(self._numbers), source))

    def first(self, count: int) -> list[Fingerprint]:
        """The fingerprints of the first `count` sources; an empty one for what was not read."""
        return [self._prints.get(index, UNKNOWN) for index in range(count)]

    def _load(self, index: int, source: Source) -> bytes:
        data = source.load()
        self._prints[index] = fingerprint(data, source.name)
        return data


def bursts(
    *,
    max_gap: float = MAX_GAP,
    max_distance: int = MAX_DISTANCE,
    max_distance_in_burst: int = MAX_DISTANCE_IN_BURST,
) -> Grouping:
    """The default grouping: chains of photos of which each is like the one before.

    Two different photos are rarely within 8 bits of each other, and copies of one photo nearly
    always are; two shots of one scene from the hand may differ in up to 18, which one in a
    thousand pairs of different photos does as well: enough only together with the time.
    tests/client/test_groups.py measures this on photos.

    Args:
        max_gap: Seconds between two photos of a burst.
        max_distance: Differing bits of 64 that two photos may have where the time of one is not
            known.
        max_distance_in_burst: The same for two photos within `max_gap`.

    Returns:
        A grouping, exact in any case, in bounded memory. Where times are known it compares photos
        within `max_gap` only; a photo without a time is compared with the few of which a part of
        the hash is nearly the same, with all of them only where most are alike.

    Raises:
        ValueError: A number is negative.
    """
    if min(max_gap, max_distance, max_distance_in_burst) < 0:
        raise ValueError("max_gap and the distances are 0 or more")

    def grouped(fingerprints: Sequence[Fingerprint]) -> Sequence[Hashable]:
        from iq_client.neighbours import Neighbours  # brings NumPy, which takes a while

        hashed = [index for index, item in enumerate(fingerprints) if item.hash is not None]
        photos = Neighbours(
            [fingerprints[index].hash or 0 for index in hashed],
            [fingerprints[index].shot.taken for index in hashed],
        )
        photos.connect_in_time(max_gap, max_distance_in_burst)
        photos.connect_without_time(max_distance)
        # One that cannot be read is alone.
        labels: list[Hashable] = [("alone", index) for index in range(len(fingerprints))]
        for index, label in zip(hashed, photos.labels.tolist(), strict=True):
            labels[index] = label
        return labels

    return grouped


def group_images(
    scores: Sequence[Score],
    fingerprints: Sequence[Fingerprint],
    *,
    grouping: Grouping | None = None,
    sets: bool = True,
    key: RankKey = "mean",
) -> list[Group]:
    """Puts scored photos into groups, the group with the best photo first.

    Args:
        scores: Scores, failed ones among them.
        fingerprints: One for each score.
        grouping: Labels of what belongs together; None for `bursts()`.
        sets: Whether brackets, stacks and panoramas are looked for first. The grouping is asked
            of the others only.
        key: Order of the members of a group and of the groups, as in `rank`.

    Returns:
        Every score in one group. A photo that failed is the last of its group; groups in which
        all failed come last.

    Raises:
        ValueError: The scores, the fingerprints and the labels of the grouping are not as many.
    """
    found_sets = (
        find_sets(fingerprints, [os.path.dirname(score.source) for score in scores])  # noqa: PTH120
        if sets
        else []
    )
    in_sets = {index for found in found_sets for index in found.members}
    rest = [index for index in range(len(scores)) if index not in in_sets]
    labels = (grouping or bursts())([fingerprints[index] for index in rest])
    members: dict[Hashable, list[Score]] = {}
    for index, label in zip(rest, labels, strict=True):
        members.setdefault(label, []).append(scores[index])
    groups = [Group(tuple(rank(group, key=key)), key) for group in members.values()]
    groups += [
        Group(tuple(rank([scores[index] for index in found.members], key=key)), key, found.kind)
        for found in found_sets
    ]
    return sorted(
        groups, key=lambda group: (not group.best.score.ok, -_key_of(group.best.score, key))
    )


def _key_of(score: Score, key: RankKey) -> float:
    return KEYS[key](score) if score.ok else 0.0  # NaN has no order
