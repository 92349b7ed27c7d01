"""Groups of near-identical photos: bursts, and copies of one picture.

Photos belong together when they look alike (a 64-bit perceptual hash) and, where both say when they
were taken, lie close in time. What makes a group can be replaced: a `Grouping` is any function from
fingerprints to labels.
"""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from iq_client.images.source import Source
from iq_client.ranking import KEYS, rank
from iq_client.results import Group, RankKey, Score

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

MAX_GAP: Final = 3.0  # seconds
MAX_DISTANCE: Final = 8  # bits of 64
MAX_DISTANCE_IN_BURST: Final = 18

_EXIF_IFD = 0x8769
_TAKEN = (0x9003, 0x9291)  # DateTimeOriginal and the fraction of its second
_DIGITIZED = (0x9004, 0x9292)
_HASHED_SIDE = 128  # pixels; the hash itself reduces to 32


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The little that grouping knows of a photo.

    Attributes:
        taken: When the shutter opened, by EXIF, in the camera's local time; None where unknown.
        hash: 64-bit perceptual hash (DCT); None where the photo cannot be read.
    """

    taken: datetime | None
    hash: int | None


UNKNOWN: Final = Fingerprint(None, None)

Grouping: TypeAlias = Callable[[Sequence[Fingerprint]], Sequence[Hashable]]


def fingerprint(data: bytes) -> Fingerprint:
    """The fingerprint of an image file.

    Args:
        data: The bytes of the file. What is no image gives a fingerprint without hash.

    Raises:
        ImportError: The package imagehash is not installed.
    """
    try:
        import imagehash
    except ImportError as error:
        raise ImportError("groups need imagehash: pip install 'iq-client[groups]'") from error
    from PIL import Image

    from iq_client.images.picture import shown

    try:
        with Image.open(io.BytesIO(data)) as image:
            taken = _taken(image)
            bits = imagehash.phash(shown(image, _HASHED_SIDE)).hash
    except Exception:  # decoders raise whatever the damage leads them to
        return UNKNOWN
    return Fingerprint(taken, int("".join("01"[int(bit)] for bit in bits.flat), base=2))


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
        self._prints[index] = fingerprint(data)
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
        A grouping. It compares each photo without a time with all the others, which takes seconds
        for ten thousand of them.

    Raises:
        ValueError: A number is negative.
    """
    if min(max_gap, max_distance, max_distance_in_burst) < 0:
        raise ValueError("max_gap and the distances are 0 or more")

    def grouped(fingerprints: Sequence[Fingerprint]) -> Sequence[Hashable]:
        import numpy as np

        hashed = [index for index, item in enumerate(fingerprints) if item.hash is not None]
        hashes = np.array([fingerprints[index].hash for index in hashed], np.uint64)
        times = [fingerprints[index].taken for index in hashed]
        labels = _Labels(len(fingerprints))
        for one, others in _neighbours(times, timedelta(seconds=max_gap)):
            close = _distances(hashes[one], hashes[others]) <= max_distance_in_burst
            labels.join(hashed[one], (hashed[others[i]] for i in np.flatnonzero(close)))
        for one, taken in enumerate(times):
            if taken is None:
                close = _distances(hashes[one], hashes) <= max_distance
                labels.join(hashed[one], (hashed[i] for i in np.flatnonzero(close)))
        return [labels.of(index) for index in range(len(fingerprints))]

    return grouped


def group_images(
    scores: Sequence[Score],
    fingerprints: Sequence[Fingerprint],
    *,
    grouping: Grouping | None = None,
    key: RankKey = "mean",
) -> list[Group]:
    """Puts scored photos into groups, the group with the best photo first.

    Args:
        scores: Scores, failed ones among them.
        fingerprints: One for each score.
        grouping: Labels of what belongs together; None for `bursts()`.
        key: Order of the members of a group and of the groups, as in `rank`.

    Returns:
        Every score in one group. A photo that failed is the last of its group; groups in which
        all failed come last.

    Raises:
        ValueError: The scores, the fingerprints and the labels of the grouping are not as many.
    """
    labels = (grouping or bursts())(fingerprints)
    members: dict[Hashable, list[Score]] = {}
    for score, _, label in zip(scores, fingerprints, labels, strict=True):
        members.setdefault(label, []).append(score)
    groups = [Group(tuple(rank(group, key=key)), key) for group in members.values()]
    return sorted(
        groups, key=lambda group: (not group.best.score.ok, -_key_of(group.best.score, key))
    )


def _key_of(score: Score, key: RankKey) -> float:
    return KEYS[key](score) if score.ok else 0.0  # NaN has no order


def _taken(image: Image.Image) -> datetime | None:
    exif = image.getexif().get_ifd(_EXIF_IFD)
    for tag, fraction_tag in (_TAKEN, _DIGITIZED):
        try:
            second = datetime.strptime(str(exif[tag]).strip("\0 "), "%Y:%m:%d %H:%M:%S")
        except (KeyError, ValueError):  # cameras with no clock write zeros or blanks
            continue
        digits = str(exif.get(fraction_tag, "")).strip("\0 ")
        fraction = float(f"0.{digits}") if digits.isascii() and digits.isdigit() else 0.0
        return second + timedelta(seconds=fraction)
    return None


def _neighbours(
    times: Sequence[datetime | None], gap: timedelta
) -> Iterator[tuple[int, list[int]]]:
    """Each photo with a time, and those before it that are no further away than `gap`."""
    in_order = sorted(
        ((taken, index) for index, taken in enumerate(times) if taken is not None),
    )
    start = 0
    for end, (taken, index) in enumerate(in_order):
        while taken - in_order[start][0] > gap:
            start += 1
        yield index, [other for _, other in in_order[start:end]]


def _distances(one: np.uint64, others: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Count of the bits of 64 that differ."""
    import numpy as np

    different = (one ^ others).view(np.uint8).reshape(len(others), 8)
    distances: npt.NDArray[np.int64] = np.unpackbits(different, axis=1).sum(axis=1, dtype=np.int64)
    return distances


class _Labels:
    """Disjoint sets of indices."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def of(self, index: int) -> int:
        """The same number for all indices of a set."""
        while self._parents[index] != index:
            self._parents[index] = self._parents[self._parents[index]]
            index = self._parents[index]
        return index

    def join(self, index: int, others: Iterator[int]) -> None:
        """Makes one set of those of `index` and of `others`."""
        for other in others:
            self._parents[self.of(other)] = self.of(index)
