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

_SURROUNDINGS: Final = 5  # pixels of the small grey picture
_PAIRS_AT_ONCE: Final = 64  # some tens of MB

_Pixels: TypeAlias = "npt.NDArray[np.float64]"


@dataclass(frozen=True, slots=True)
class _Frame:
    """One photo in a camera's sequence: its index, its time in seconds, its exposure in EV."""

    index: int
    seconds: float
    exposure: float
    print: Fingerprint


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
        exposure = shot.exposure
        if found.hash is not None and found.grey and shot.taken and exposure is not None:
            frame = _Frame(index, _local_seconds(shot.taken), exposure, found)
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
            longest = _different(run[start : start + MOST_IN_BRACKET])
            for end in range(start + longest, start + 1, -1):
                if _is_bracket(run[start:end]):
                    yield _set("bracket", run[start:end])
                    start = end
                    break
            else:
                start += 1


def _different(frames: Sequence[_Frame]) -> int:
    """The number of frames until an exposure comes again."""
    for count, frame in enumerate(frames):
        if any(abs(frame.exposure - before.exposure) < MIN_BIAS_STEP for before in frames[:count]):
            return count
    return len(frames)


def _longest_pause(a: _Frame, b: _Frame) -> float:
    marked = a.print.shot.auto_bracket and b.print.shot.auto_bracket
    return MAX_LONG_PAUSE if marked else MAX_PAUSE


def _is_bracket(frames: Sequence[_Frame]) -> bool:
    """True where frames of different exposures are a bracket."""
    darkest_first = sorted(frames, key=lambda frame: frame.exposure)
    steps = _steps([frame.exposure for frame in darkest_first])
    marks = {frame.print.shot.auto_bracket for frame in frames}
    if marks == {True}:
        return True
    return (
        marks == {False}
        and len(frames) >= LEAST_IN_BRACKET
        and max(steps) - min(steps) <= MAX_UNEVENNESS
        and (min(steps) >= MIN_EXPOSURE_STEP or _by_bias(darkest_first))
        and _alike(darkest_first)
        and _brightens(darkest_first)
    )


def _by_bias(darkest_first: Sequence[_Frame]) -> bool:
    """True where the exposure follows the compensation that was set."""
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
    """True where pictures follow the exposure; an automatic one keeps them equally bright."""
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
        for start, end in _stretches(list(_pans(run)), LEAST_IN_PANORAMA):
            taken = run[end - 1].seconds - run[start].seconds
            if taken >= MIN_PAN_PAUSE * (end - 1 - start):
                yield _set("panorama", run[start:end])


def _pans(frames: Sequence[_Frame]) -> Iterator[tuple[int, int] | None]:
    """The way that the camera went from each frame to the next.

    (1, 0) is to the right and (0, 1) down; None is where it did not, or where the pictures do not
    overlap.
    """
    import numpy as np

    for start in range(0, len(frames) - 1, _PAIRS_AT_ONCE):
        chunk = frames[start : start + _PAIRS_AT_ONCE + 1]
        shifts, likeness = _overlaps(_detail(np.stack([_grey(frame) for frame in chunk])))
        best = likeness.argmax(axis=1)
        for alike, (down, right) in zip(likeness.max(axis=1), shifts[best].tolist(), strict=True):
            if alike < MIN_OVERLAP_LIKENESS or max(abs(down), abs(right)) < MIN_PAN * GREY_SIDE:
                yield None
            elif abs(right) > abs(down):
                yield (int(np.sign(right)), 0)
            else:
                yield (0, int(np.sign(down)))


def _overlaps(pictures: _Pixels) -> tuple[npt.NDArray[np.int64], _Pixels]:
    """Correlations of each picture with the next where they overlap, at every possible shift.

    By Padfield, "Masked object registration in the Fourier domain", IEEE Transactions on Image
    Processing 21(5), 2012, section III.

    Args:
        pictures: [N + 1, H, H].

    Returns:
        The shifts [S, 2] that a pan may have, down and right, and the correlations -1…1 [N, S].
    """
    import numpy as np
    from scipy import fft  # comes with imagehash

    side = 2 * pictures.shape[1]  # room for every shift
    along = np.fft.fftfreq(side, 1 / side).astype(np.int64)  # 0, 1, …, -2, -1
    down, right = np.meshgrid(along, along, indexing="ij")
    rows, columns = np.nonzero(
        (np.maximum(abs(down), abs(right)) <= MAX_PAN * side / 2)
        & (np.minimum(abs(down), abs(right)) <= MAX_DRIFT * side / 2)
    )
    shifts = np.stack([along[rows], along[columns]], axis=1)

    def spectrum(values: _Pixels) -> npt.NDArray[np.complex128]:
        found: npt.NDArray[np.complex128] = fft.rfft2(values, (side, side))
        return found

    def sums(product: npt.NDArray[np.complex128]) -> _Pixels:
        found: _Pixels = fft.irfft2(product, (side, side))
        return found

    everywhere = spectrum(np.ones_like(pictures[0]))
    pixels = sums(everywhere * everywhere.conj())[rows, columns]
    spectra = spectrum(pictures)
    together = sums(spectra[:-1] * spectra[1:].conj())[:, rows, columns]
    total = sums(spectra * everywhere.conj())
    squares = sums(spectrum(pictures**2) * everywhere.conj())
    # What of a picture lies under the next one is what of this lies under it at the shift back.
    first, second = total[:-1, rows, columns], total[1:, -rows, -columns]
    spread = squares[:-1, rows, columns] - first**2 / pixels
    other_spread = squares[1:, -rows, -columns] - second**2 / pixels
    common = together - first * second / pixels
    return shifts, common / np.sqrt(np.maximum(spread, 1) * np.maximum(other_spread, 1))


def _detail(pictures: _Pixels) -> _Pixels:
    """Pictures [N, H, W] less their surroundings: skies above grounds are alike at every shift."""
    from scipy.ndimage import uniform_filter

    around: _Pixels = uniform_filter(pictures, (0, _SURROUNDINGS, _SURROUNDINGS), mode="nearest")
    return pictures - around


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
    """True where each looks like the one before."""
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
    """Runs of steps that go one way: first frame, and the one behind the last.

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
