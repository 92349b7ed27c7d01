"""Labelled photos, and the description of a set of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

# Form of the labels → what its file holds.
FORMS: Final = {
    "labels": "a table of file names and integer labels; the higher, the better",
    "scores": "a table of file names, mean opinion scores and, if wanted, standard deviations",
    "histograms": "a table or JSON list of file names and ten counts of votes, or a table that "
    "`siamese-nima predict` wrote: a teacher's",
    "ava": "AVA.txt: index, image id, ten counts of votes, three ids",
    "distortions": "no file: photos, and synthetic distortions of them",
    "pairs": "a table winner, loser and, if wanted, weight and tie: single judgements",
    "stars": "no file: xmp:Rating of the photos, in sidecars or in the photos themselves",
}


@dataclass(frozen=True, slots=True)
class DataConfig:
    """A set of labelled photos.

    Attributes:
        form: A key of `FORMS`.
        images: The folder that file names start at; the photos themselves for `distortions`.
        file: The labels; none for `distortions` and `stars`.
        separator: Between columns; empty to find out from the header, " " for any run of blanks.
        file_column: Header of the file names; `image_id` is the key in JSON.
        label_column: Header of the labels or means; empty for `label` or `mean`.
        std_column: Header of the standard deviations, empty for none.
        std: Standard deviation of the votes, 1…10, of every photo of a set that states none; 0 if
            it is not known.
        raters: Votes a photo of a set that has no counts; 0 where means are taken as exact.
        suffix: Added to file names that have no suffix, such as AVA's ids.
        lowest: Lowest value of the scale of means, mapped to 1.
        highest: Highest value of the scale of means, mapped to 10.
        max_bad_share: Share of the rows that may be bad before a run stops, 0…1.
    """

    form: str
    images: Path
    file: Path | None = None
    separator: str = ""
    file_column: str = "file_name"
    label_column: str = ""
    std_column: str = ""
    std: float = 0.0
    raters: int = 0
    suffix: str = ".jpg"
    lowest: float = 1.0
    highest: float = 10.0
    max_bad_share: float = 0.01


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled photo.

    Attributes:
        path: The file.
        score: Its label, its mean opinion score in 1…10, or minus its level of distortion; the
            higher, the better.
        distribution: Shares of the votes 1…10, where the votes are known.
        std: Standard deviation of the votes on the scale 1…10, where it is known.
        group: Scores are comparable within a group only.
        kind: Kind of distortion, `ORIGINAL` for none in a ladder, empty for the file as it is.
        severity: Of the distortion, 0…1.
        error: Standard error of the score on its scale, 0 where it is taken as exact.
        weight: Of its judgements in losses over pairs.
        digest: SHA-256 of the file, where it was read.
        split: Decides in place of `digest` on which side of a split it stands; empty for none.
    """

    path: Path
    score: float
    distribution: tuple[float, ...] | None = None
    std: float | None = None
    group: str = ""
    kind: str = ""
    severity: float = 0.0
    error: float = 0.0
    weight: float = 1.0
    digest: bytes = b""
    split: bytes = b""


# The undistorted rung of a ladder takes the way of the others (`distortions.working_picture`), so
# that resizing is not what tells them apart.
ORIGINAL: Final = "original"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a row or a photo.

    Attributes:
        code: `MALFORMED`, `OUT_OF_RANGE`, `DUPLICATE`, `CONFLICT`, `MISSING`, or the code of a
            `preprocessing.ImageError`.
        where: The row or the file.
        text: One sentence for people.
    """

    code: str
    where: str
    text: str

    @property
    def bad(self) -> bool:
        """True where it costs a row: a repeated one does not."""
        return self.code != "DUPLICATE"
