"""Reads every photo of a set once: what is bad is listed and counted, never dropped silently."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iq_serving.preprocessing import ImageError, load_pixels
from siamese_nima.data.distortions import DISTORTIONS, LEVELS
from siamese_nima.data.photos import find_photos, is_held_out
from siamese_nima.data.samples import ORIGINAL, DataConfig, Problem, Sample
from siamese_nima.data.stars import read_stars
from siamese_nima.data.tables import read_pairs, read_samples
from siamese_nima.errors import DataError
from siamese_nima.progress import Progress, silent

# Decoding in full is what tells whether a photo is whole; the size it is shrunk to does not matter.
_CHECK_SIZE = (32, 32)


@dataclass(frozen=True, slots=True)
class Inspection:
    """A set of which every photo was read.

    Attributes:
        samples: The good ones, with their digests.
        problems: What was wrong with the others, and what was repeated.
        copies: Files with the same bytes as an earlier one of another name.
    """

    samples: list[Sample]
    problems: list[Problem]
    copies: list[Path]

    @property
    def bad_share(self) -> float:
        """Share of bad rows among all that were read, 0…1."""
        bad = sum(problem.bad for problem in self.problems)
        return bad / max(1, bad + len(self.samples))

    def require(self, max_bad_share: float) -> None:
        """Stops a run whose data is bad.

        Raises:
            DataError: No sample is good, or too many rows are bad; the first are listed.
        """
        if self.samples and self.bad_share <= max_bad_share:
            return
        bad = [problem for problem in self.problems if problem.bad]
        listed = "\n  ".join(f"{each.where}: {each.code}: {each.text}" for each in bad[:10])
        raise DataError(
            f"{len(bad)} rows are bad, {len(self.samples)} good; max_bad_share is "
            f"{max_bad_share}. `siamese-nima data check` lists them all. The first:\n  {listed}"
        )

    def split(self, held_out_share: float) -> tuple[list[Sample], list[Sample]]:
        """Splits by the photos' bytes, so that copies never stand on both sides.

        Args:
            held_out_share: Expected share of the second list, 0…1.

        Returns:
            Samples to train on, and samples held out.
        """
        sides: tuple[list[Sample], list[Sample]] = ([], [])
        for sample in self.samples:
            sides[is_held_out(sample.split or sample.digest, held_out_share)].append(sample)
        return sides

    def to_dict(self, bins: int = 10) -> dict[str, Any]:
        """A JSON-ready mapping: counts, the histogram of the scores, every problem."""
        scores = np.array([sample.score for sample in self.samples])
        distinct = np.unique(scores)
        if len(distinct) <= bins:
            histogram = [
                {"score": float(score), "count": int((scores == score).sum())} for score in distinct
            ]
        else:
            counts, edges = np.histogram(scores, bins)
            histogram = [
                {"from": float(low), "to": float(high), "count": int(count)}
                for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True)
            ]
        return {
            "good": len(self.samples),
            "bad_share": self.bad_share,
            "problem_counts": dict(Counter(problem.code for problem in self.problems)),
            "copies": [str(path) for path in self.copies],
            "histogram": histogram,
            "problems": [dataclasses.asdict(problem) for problem in self.problems],
        }


def inspect(config: DataConfig, progress: Progress = silent) -> Inspection:
    """Reads labels and photos.

    Args:
        config: The set.
        progress: Wraps the photos to show how far it is, given their number and a title.

    Returns:
        What is good and what is not. Ladders of distortions are added to each good photo of a set
        of that form.

    Raises:
        ConfigError: The config is at odds with itself.
        DataError: The labels cannot be read at all.
        FileNotFoundError: There is no such folder.
    """
    if not config.images.is_dir():
        raise FileNotFoundError(f"no folder {config.images}")
    if config.form == "distortions":
        samples = [Sample(path, 0.0) for path in find_photos([config.images])]
        problems: list[Problem] = []
    elif config.form == "stars":
        samples, problems = read_stars(config.images)
    elif config.form == "pairs":
        samples, problems = read_pairs(config)
    else:
        samples, problems = read_samples(config)
    paths = list(dict.fromkeys(sample.path for sample in samples))
    digests: dict[Path, bytes] = {}
    copies: list[Path] = []
    seen: set[bytes] = set()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        read = progress(pool.map(_read, paths), len(paths), "photos")
        for path, result in zip(paths, read, strict=True):
            if isinstance(result, Problem):
                problems.append(result)
                continue
            if result in seen:
                copies.append(path)
            seen.add(result)
            digests[path] = result
    good = [
        dataclasses.replace(sample, digest=digests[sample.path])
        for sample in samples
        if sample.path in digests
    ]
    if config.form == "distortions":
        good = [rung for sample in good for rung in _ladders(sample)]
    if config.form == "pairs":
        good = _whole_pairs(good)
    return Inspection(good, problems, copies)


def _whole_pairs(samples: list[Sample]) -> list[Sample]:
    """Judgements both of whose photos could be read; both go by one digest, to be split together.

    It is the digest of the photos that hang together by judgements, so that no photo is learnt from
    and judged by; a set that hangs together as a whole is split by single judgements.
    """
    sides = Counter(sample.group for sample in samples)
    samples = [sample for sample in samples if sides[sample.group] == 2]
    root = {sample.digest: sample.digest for sample in samples}

    def find(digest: bytes) -> bytes:
        while root[digest] != digest:
            root[digest] = digest = root[root[digest]]
        return digest

    pairs = list(zip(samples[::2], samples[1::2], strict=True))
    for winner, loser in pairs:
        first, second = sorted((find(winner.digest), find(loser.digest)))
        root[second] = first
    sizes = Counter(find(winner.digest) for winner, _ in pairs)
    together = max(sizes.values(), default=0) > len(pairs) / 2
    whole = []
    for pair in pairs:
        digests = b"".join(sorted(each.digest for each in pair))
        key = hashlib.sha256(digests).digest() if together else find(pair[0].digest)
        whole += [dataclasses.replace(each, split=key) for each in pair]
    return whole


def _read(path: Path) -> bytes | Problem:
    """The digest of a whole photo."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return Problem("MISSING", str(path), str(error.strerror))
    try:
        load_pixels(data, image_size=_CHECK_SIZE)
    except ImageError as error:
        return Problem(error.code, str(path), error.text)
    return hashlib.sha256(data).digest()


def _ladders(photo: Sample) -> Iterator[Sample]:
    """One ladder for each kind of distortion: the photo, then every level."""
    for kind in DISTORTIONS:
        group = f"{photo.path}#{kind}"
        yield dataclasses.replace(photo, group=group, kind=ORIGINAL)
        for level, severity in enumerate(LEVELS, 1):
            yield dataclasses.replace(
                photo, group=group, kind=kind, severity=severity, score=-float(level)
            )
