"""Exposure brackets, focus stacks and panoramas: photos that are one picture together.

None of them is better than the others, so that a choice among them would lose the picture. They are
told from bursts by what the camera wrote, and by the pictures where it wrote too little; the rules
are in docs/reference/grouping.md. What is in doubt stays a burst.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

from iq_client.results import SetKind

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from iq_client.groups import Fingerprint

GREY_SIDE: Final = 32  # pixels of the small grey picture in a fingerprint

MAX_PAUSE: Final = 3.0  # seconds between two shots
MAX_LONG_PAUSE: Final = 10.0  # the same where the camera says "bracket", and in a panorama
MOST_IN_BRACKET: Final = 9
MIN_BIAS_STEP: Final = 0.25  # EV: cameras step by thirds
MIN_EXPOSURE_STEP: Final = 0.6  # EV, where the bias does not say that it was meant
MAX_UNEVENNESS: Final = 0.4  # EV: times are rounded to thirds
SAME_EXPOSURE: Final = 0.1  # EV
MIN_BRIGHTENING: Final = 0.1  # doublings of the picture's mean level for each EV
MAX_DISTANCE_IN_SET: Final = 18  # bits of 64 between neighbours
LEAST_IN_BRACKET: Final = 3
LEAST_IN_STACK: Final = 5
MAX_STEP_RATIO: Final = 3.0  # of focus steps, in dioptres
LEAST_IN_PANORAMA: Final = 3
MIN_PAN: Final = 0.15  # of a picture's side
MAX_PAN: Final = 0.75
MAX_DRIFT: Final = 0.15  # across the pan
MIN_OVERLAP_LIKENESS: Final = 0.65  # correlation
MIN_PAN_PAUSE: Final = 0.5  # seconds a step: a burst that follows a subject is quicker

_Pixels: TypeAlias = "npt.NDArray[np.float64]"


@dataclass(frozen=True, slots=True)
class _Frame:
    """One photo in a camera's sequence: its index, its time in seconds, and its fingerprint."""

    index: int
    seconds: float
    print: Fingerprint

    @property
    def exposure(self) -> float:
        """EV; only frames that have it are looked at."""
        return self.print.shot.exposure or 0.0


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Photos that are one picture together.

    Attributes:
        kind: What they are.
        members: Their indices, in the order in which they were taken.
    """

    kind: SetKind
    members: tuple[int, ...]


def find_sets(fingerprints: Sequence[Fingerprint], folders: Sequence[str]) -> list[ImageSet]:
    """The brackets, stacks and panoramas among photos.

    Args:
        fingerprints: One for each photo; those without a time, a picture or an exposure are in no
            set.
        folders: The folder of each: a set lies in one, and what is exported from it in another.

    Returns:
        Sets that have no photo in common.
    """
    sequences: dict[tuple[str, str | None], list[_Frame]] = {}
    for index, (found, folder) in enumerate(zip(fingerprints, folders, strict=True)):
        shot = found.shot
        if found.hash is not None and found.grey and shot.taken and shot.exposure is not None:
            frame = _Frame(index, _local_seconds(shot.taken), found)
            sequences.setdefault((folder, shot.camera), []).append(frame)
    sets: list[ImageSet] = []
    for frames in sequences.values():
        frames.sort(key=lambda frame: (frame.seconds, frame.index))
        for find in (_brackets, _stacks, _panoramas):
            found_sets = list(find(frames))
            taken = {index for found_set in found_sets for index in found_set.members}
            frames = [frame for frame in frames if frame.index not in taken]
            sets += found_sets
    return sets


def _brackets(frames: Sequence[_Frame]) -> Iterator[ImageSet]:
    for run in _runs(frames, lambda a, b: _pause(a, b) <= _longest_pause(a, b)):
        start = 0
        while start < len(run):
            for end in range(min(len(run), start + MOST_IN_BRACKET), start + 1, -1):
                if _is_bracket(run[start:end]):
                    yield _set("bracket", run[start:end])
                    start = end
                    break
            else:
                start += 1


def _longest_pause(a: _Frame, b: _Frame) -> float:
    marked = a.print.shot.auto_bracket and b.print.shot.auto_bracket
    return MAX_LONG_PAUSE if marked else MAX_PAUSE


def _is_bracket(frames: Sequence[_Frame]) -> bool:
    darkest_first = sorted(frames, key=lambda frame: frame.exposure)
    steps = _steps([frame.exposure for frame in darkest_first])
    marks = {frame.print.shot.auto_bracket for frame in frames}
    if min(steps) < MIN_BIAS_STEP or len(marks) > 1:
        return False
    if marks == {True}:
        return True
    return (
        len(frames) >= LEAST_IN_BRACKET
        and max(steps) - min(steps) <= MAX_UNEVENNESS
        and (min(steps) >= MIN_EXPOSURE_STEP or _by_bias(darkest_first))
        and _alike(darkest_first)
        and _brightens(darkest_first)
    )


def _by_bias(darkest_first: Sequence[_Frame]) -> bool:
    """Whether the exposure follows the compensation that was set."""
    biases = [frame.print.shot.bias for frame in darkest_first]
    if None in biases:
        return False
    exposures = _steps([frame.exposure for frame in darkest_first])
    compensated = _steps([bias for bias in biases if bias is not None])
    return all(
        bias >= MIN_BIAS_STEP and abs(bias - exposure) <= MAX_UNEVENNESS
        for bias, exposure in zip(compensated, exposures, strict=True)
    )


def _brightens(darkest_first: Sequence[_Frame]) -> bool:
    """Whether pictures follow the exposure; an automatic one keeps them equally bright."""
    import numpy as np

    levels = np.log2([_grey(frame).mean() + 1 for frame in darkest_first])
    span = darkest_first[-1].exposure - darkest_first[0].exposure
    return bool((np.diff(levels) > 0).all() and levels[-1] - levels[0] >= MIN_BRIGHTENING * span)


def _stacks(frames: Sequence[_Frame]) -> Iterator[ImageSet]:
    def may_follow(a: _Frame, b: _Frame) -> bool:
        known = a.print.shot.distance is not None and b.print.shot.distance is not None
        return known and _pause(a, b) <= MAX_PAUSE and _same_settings(a, b) and _alike([a, b])

    for run in _runs(frames, may_follow):
        steps = _steps([_dioptres(frame) for frame in run])
        ways = [None if step == 0 else step > 0 for step in steps]
        for start, end in _stretches(ways, LEAST_IN_STACK):
            sizes = [abs(step) for step in steps[start : end - 1]]
            if max(sizes) <= MAX_STEP_RATIO * min(sizes) and _alike([run[start], run[end - 1]]):
                yield _set("stack", run[start:end])


def _dioptres(frame: _Frame) -> float:
    """Focus as lenses are moved by: evenly in one by the distance."""
    return 1 / (frame.print.shot.distance or math.inf)


def _panoramas(frames: Sequence[_Frame]) -> Iterator[ImageSet]:
    def may_follow(a: _Frame, b: _Frame) -> bool:
        timed = a.print.shot.exposure_time is not None
        return timed and _pause(a, b) <= MAX_LONG_PAUSE and _same_settings(a, b)

    for run in _runs(frames, may_follow):
        if len(run) < LEAST_IN_PANORAMA:
            continue
        ways = [_pan(a, b) for a, b in itertools.pairwise(run)]
        for start, end in _stretches(ways, LEAST_IN_PANORAMA):
            taken = run[end - 1].seconds - run[start].seconds
            if taken >= MIN_PAN_PAUSE * (end - 1 - start):
                yield _set("panorama", run[start:end])


def _pan(a: _Frame, b: _Frame) -> tuple[int, int] | None:
    """The way that the camera went: (1, 0) to the right, (0, 1) down; None where it did not.

    Where two pictures overlap, their details correlate: Padfield, "Masked object registration in
    the Fourier domain", IEEE Transactions on Image Processing 21(5), 2012.
    """
    import numpy as np

    if a.print.hash == b.print.hash:
        return None
    likeness = _overlap_likeness(_detail(_grey(a)), _detail(_grey(b)))
    shifts = np.fft.fftfreq(2 * GREY_SIDE, 0.5 / GREY_SIDE).astype(int)  # 0, 1, …, -2, -1
    along_y, along_x = (np.abs(shift) for shift in np.meshgrid(shifts, shifts, indexing="ij"))
    possible = (np.maximum(along_y, along_x) <= MAX_PAN * GREY_SIDE) & (
        np.minimum(along_y, along_x) <= MAX_DRIFT * GREY_SIDE
    )
    y, x = np.unravel_index(np.where(possible, likeness, -1).argmax(), likeness.shape)
    down, right = int(shifts[y]), int(shifts[x])
    if likeness[y, x] < MIN_OVERLAP_LIKENESS or max(abs(down), abs(right)) < MIN_PAN * GREY_SIDE:
        return None
    return (int(np.sign(right)), 0) if abs(right) > abs(down) else (0, int(np.sign(down)))


def _overlap_likeness(a: _Pixels, b: _Pixels) -> _Pixels:
    """Correlation of `a` and `b` where they overlap, by how far `b` lies down and right of `a`.

    Args:
        a: [H, W].
        b: The same size.

    Returns:
        -1…1 [2 H, 2 W], at shifts as of `numpy.fft.fftfreq`.
    """
    import numpy as np

    size = (2 * a.shape[0], 2 * a.shape[1])  # room for every shift

    def sums(one: _Pixels, other: _Pixels) -> _Pixels:
        product = np.fft.rfft2(one, size) * np.fft.rfft2(other, size).conj()
        return np.fft.irfft2(product, size)

    all_of_it = np.ones_like(a)
    pixels = np.maximum(sums(all_of_it, all_of_it), 1)
    of_a, of_b = sums(a, all_of_it), sums(all_of_it, b)
    together = sums(a, b) - of_a * of_b / pixels
    alone = (sums(a * a, all_of_it) - of_a**2 / pixels, sums(all_of_it, b * b) - of_b**2 / pixels)
    likeness: _Pixels = together / np.sqrt(np.maximum(alone[0], 1) * np.maximum(alone[1], 1))
    return likeness


def _detail(grey: _Pixels) -> _Pixels:
    """A picture less its surroundings: skies above grounds are alike at every shift."""
    import numpy as np

    around = 2
    side = 2 * around + 1
    padded = np.pad(grey, around, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
    detail: _Pixels = grey - windows.mean(axis=(2, 3))
    return detail


def _grey(frame: _Frame) -> _Pixels:
    import numpy as np

    levels = np.frombuffer(frame.print.grey, np.uint8).astype(np.float64)
    return levels.reshape(GREY_SIDE, GREY_SIDE)


def _same_settings(a: _Frame, b: _Frame) -> bool:
    return (
        abs(a.exposure - b.exposure) <= SAME_EXPOSURE
        and a.print.shot.f_number == b.print.shot.f_number
        and a.print.shot.focal_length == b.print.shot.focal_length
    )


def _alike(frames: Sequence[_Frame]) -> bool:
    """Whether each looks like the one before."""
    return all(
        ((a.print.hash or 0) ^ (b.print.hash or 0)).bit_count() <= MAX_DISTANCE_IN_SET
        for a, b in itertools.pairwise(frames)
    )


def _pause(a: _Frame, b: _Frame) -> float:
    """Seconds between the shots, without the time that they took."""
    open_for = max(frame.print.shot.exposure_time or 0 for frame in (a, b))
    return b.seconds - a.seconds - open_for


def _runs(
    frames: Sequence[_Frame], follows: Callable[[_Frame, _Frame], bool]
) -> Iterator[Sequence[_Frame]]:
    """The longest stretches in which each frame follows the one before."""
    start = 0
    for end in range(1, len(frames) + 1):
        if end == len(frames) or not follows(frames[end - 1], frames[end]):
            yield frames[start:end]
            start = end


def _stretches(ways: Sequence[Hashable], least: int) -> Iterator[tuple[int, int]]:
    """Where steps go one way: first frame, and the one behind the last.

    Args:
        ways: Of each step between two frames; None for none.
        least: Frames of a stretch. None is in two of them.
    """
    place = used = 0
    for way, group in itertools.groupby(ways):
        start, place = place, place + sum(1 for _ in group)
        start = max(start, used)
        if way is not None and place + 1 - start >= least:
            used = place + 1
            yield start, used


def _steps(values: Sequence[float]) -> list[float]:
    return [after - before for before, after in itertools.pairwise(values)]


def _set(kind: SetKind, frames: Sequence[_Frame]) -> ImageSet:
    return ImageSet(kind, tuple(frame.index for frame in frames))


def _local_seconds(taken: datetime) -> float:
    return (taken.replace(tzinfo=None) - datetime.min).total_seconds()
