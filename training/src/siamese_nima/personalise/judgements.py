"""One person's judgements of photos."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from siamese_nima.data import DataConfig, Sample, inspect
from siamese_nima.data.samples import Problem
from siamese_nima.errors import DataError

# Fewer say nothing: with a part of them held out, chance alone would decide.
FEWEST: Final = 20


@dataclass(frozen=True, slots=True)
class Judgements:
    """Judgements that can be learnt from.

    Attributes:
        form: `pairs`, or `labels` where photos are rated one by one.
        samples: Two a pair, one after the other; or one a rated photo.
        problems: Rows and photos that are left out.
    """

    form: str
    samples: list[Sample]
    problems: list[Problem]

    def __len__(self) -> int:
        """Number of judgements."""
        return len(self.samples) // (2 if self.form == "pairs" else 1)

    def folds(self, count: int) -> npt.NDArray[np.int64]:
        """Fold of each sample, 0…count - 1 [N]; judgements that share photos stay together.

        Where all hang together, as in a tournament, single judgements are dealt out.
        """
        keys = [
            hashlib.sha256(b"fold" + (sample.split or sample.digest)).digest()
            for sample in self.samples
        ]
        return np.array([int.from_bytes(key[:4]) % count for key in keys], np.int64)


def read_judgements(
    photos: Path, *, pairs: Path | None = None, labels: Path | None = None
) -> Judgements:
    """Reads judgements in one of their forms, and every photo of them.

    Args:
        photos: The folder of the photos; with neither table, they are judged by the stars in their
            sidecars and in themselves.
        pairs: A table `winner,loser` and, if wanted, `weight` and `tie`.
        labels: A table `file_name,label` of whole numbers; the higher, the better.

    Returns:
        The judgements.

    Raises:
        DataError: A table cannot be read, or fewer than `FEWEST` judgements are left.
        FileNotFoundError: There is no such folder.
    """
    if pairs:
        config = DataConfig("pairs", photos, pairs)
    elif labels:
        config = DataConfig("labels", photos, labels)
    else:
        config = DataConfig("stars", photos)
    found = inspect(config)
    judged = Judgements("pairs" if pairs else "labels", found.samples, found.problems)
    if len(judged) < FEWEST:
        first = "".join(
            f"; the first problem: {each.where}: {each.text}" for each in judged.problems[:1]
        )
        raise DataError(
            f"{len(judged)} judgements can be used, and {FEWEST} are the least that a taste is "
            f"learnt from{first}"
        )
    if len({sample.score for sample in judged.samples}) < 2:
        raise DataError("all judgements say the same: no photo is better than another")
    return judged
