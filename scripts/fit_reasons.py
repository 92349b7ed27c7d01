"""Fits `iq_client/reasons/weights.json` on ladders of distortions; says what it is worth.

    python scripts/fit_reasons.py PHOTOS

PHOTOS is a folder of folders of photos, one for each source. Of every photo there is the photo
itself, as it is, and one twin of each distortion, of a level drawn by lot. A third of the photos,
and the whole of the folders `KEPT_OUT`, are kept out of the fit; the tables that are printed are of
these.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from iq_client.reasons import Model
from iq_client.reasons.measures import Measures, measure
from iq_client.results import Reason
from siamese_nima.data.distortions import LEVELS, distort, working_picture

WEIGHTS: Final = Path(__file__).parents[1] / "client/src/iq_client/reasons/weights.json"
KEPT_OUT: Final = {"debian_wallpapers"}  # the example photos are of this kind
DARK: Final = {"lowlight_dicm_lime"}  # really taken in the dark: told apart in the tables

MOST_PHOTOS: Final = 640  # drawn by lot; more take longer and change little

UNTOUCHED: Final = "untouched"
REASON_OF: Final[Mapping[str, Reason]] = {
    "blur": "blurry",
    "rescale": "blurry",
    "noise": "noisy",
    "jpeg": "compressed",
    "overexposure": "overexposed",
    "underexposure": "underexposed",
}
MEASURES_OF: Final[Mapping[Reason, tuple[str, ...]]] = {
    "blurry": ("sharpness",),
    "noisy": ("noise",),
    "overexposed": ("clipped", "coloured"),
    "underexposed": ("brightest", "median"),
    "compressed": ("blocks",),
}
# The mildest level that a reason is wanted for; those below count neither way. A stop more or less
# is an exposure that many a photographer wants.
MILDEST: Final[Mapping[Reason, int]] = {
    "blurry": 2, "noisy": 2, "overexposed": 3, "underexposed": 3, "compressed": 2,
}  # fmt: skip
QUALITY: Final = 92  # of the photos, and of twins that are saved once more
PRECISION: Final = 0.95  # on the photos of the fit, for .9 on others
FALSE_POSITIVES: Final = 0.005  # of untouched photos of the fit
PENALTY: Final = 1e-3  # on squared weights of standardised measures

Vector = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Example:
    """A photo or a twin of one.

    Attributes:
        source: The folder of the photo.
        kept_out: Whether the photo is not fitted on.
        kind: A distortion, or `untouched`.
        level: 1…4; 0 for `untouched`.
        measures: What is known of it.
    """

    source: str
    kept_out: bool
    kind: str
    level: int
    measures: Measures


def examples(path: Path) -> list[Example]:
    """A photo and its twins."""
    data = path.read_bytes()
    digest = hashlib.sha256(data).digest()
    source = path.parent.name
    kept_out = source in KEPT_OUT or digest[0] % 3 == 0
    rng = np.random.default_rng(list(digest))
    picture = working_picture(data)
    found = [Example(source, kept_out, UNTOUCHED, 0, measure(Image.open(io.BytesIO(data))))]
    for kind in REASON_OF:
        level = int(rng.integers(1, len(LEVELS) + 1))
        twin = distort(picture, kind, LEVELS[level - 1], rng)
        quality = QUALITY
        if kind == "jpeg" and rng.random() < 0.5:
            quality = _quality(LEVELS[level - 1])  # the file itself, and not saved once more
            twin = picture
        file = io.BytesIO()
        twin.save(file, "JPEG", quality=quality)
        found.append(Example(source, kept_out, kind, level, measure(Image.open(file))))
    return found


def _quality(severity: float) -> int:
    """The quality that the distortion `jpeg` saves with."""
    return round(50.0 * math.pow(5.0 / 50.0, severity))


def fit(values: Vector, truth: Mask) -> tuple[float, Vector]:
    """Logistic regression by Newton's method, both classes of equal weight.

    Args:
        values: [N, measures].
        truth: [N].

    Returns:
        Intercept, and a weight for each measure.
    """
    centre, scale = values.mean(axis=0), values.std(axis=0)
    x = np.column_stack([np.ones(len(values)), (values - centre) / scale])
    weight = np.where(truth, 0.5 / truth.sum(), 0.5 / (~truth).sum())
    ridge = PENALTY * np.diag([0.0, *np.ones(values.shape[1])])
    beta = np.zeros(x.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-x @ beta))
        slope = x.T @ (weight * (truth - p)) - ridge @ beta
        curve = (x * (weight * p * (1 - p))[:, None]).T @ x + ridge
        step = np.linalg.solve(curve, slope)
        beta += step
        if np.abs(step).max() < 1e-9:
            break
    weights = beta[1:] / scale
    return float(beta[0] - weights @ centre), weights


def threshold(odds: Vector, truth: Mask, untouched: Mask) -> float:
    """The lowest log odds, 0 or more, from which precision and false positives are as wanted."""
    for limit in [0.0, *np.sort(odds[odds > 0])]:
        named = odds >= limit
        if (
            named.any()
            and truth[named].mean() >= PRECISION
            and named[untouched].mean() <= FALSE_POSITIVES
        ):
            return float(limit)
    raise SystemExit("no threshold is good enough: look at the measures")


def counted(rows: Sequence[Example], reason: Reason) -> list[Example]:
    """The examples that count for a reason: no mild ones of its own kind."""
    least = MILDEST[reason]
    return [row for row in rows if REASON_OF.get(row.kind) != reason or row.level >= least]


def fitted(rows: Sequence[Example], reason: Reason) -> Model:
    """The model of a reason."""
    names = MEASURES_OF[reason]
    rows = counted(rows, reason)
    values = np.array([[getattr(row.measures, name) for name in names] for row in rows])
    truth = np.array([REASON_OF.get(row.kind) == reason for row in rows])
    intercept, weights = fit(values, truth)
    untouched = np.array([row.kind == UNTOUCHED for row in rows])
    intercept -= threshold(intercept + values @ weights, truth, untouched)
    rounded = {name: round(float(each), 4) for name, each in zip(names, weights, strict=True)}
    return Model(round(intercept, 4), rounded)


def table(rows: Sequence[Example], models: Mapping[Reason, Model]) -> Iterator[str]:
    """Markdown: precision, recall and false positives of each reason."""
    levels = range(1, len(LEVELS) + 1)
    heads = ["reason", "precision", "recall", *(f"level {n}" for n in levels), "untouched, named"]
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for reason, model in models.items():

        def named(some: Iterable[Example], model: Model = model) -> list[bool]:
            return [model.odds(row.measures) >= 0 for row in some]

        own = [row for row in rows if REASON_OF.get(row.kind) == reason]
        others = [row for row in rows if REASON_OF.get(row.kind) != reason]
        right = named(row for row in own if row.level >= MILDEST[reason])
        wrong = named(others)
        untouched = named(row for row in rows if row.kind == UNTOUCHED)
        by_level = (named(row for row in own if row.level == level) for level in levels)
        cells = [
            f"{sum(right) / max(1, sum(right) + sum(wrong)):.3f}",
            f"{np.mean(right):.3f}",
            *(f"{np.mean(each):.2f}" for each in by_level),
            f"{sum(untouched)} of {len(untouched)} ({100 * np.mean(untouched):.1f} %)",
        ]
        yield f"| `{reason}` | " + " | ".join(cells) + " |"


def main(folder: Path) -> None:
    """Fits, writes the weights and prints the tables."""
    paths = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in {".jpg", ".png"})
    random.Random(5).shuffle(paths)
    with ProcessPoolExecutor() as pool:
        found = pool.map(examples, paths[:MOST_PHOTOS], chunksize=4)
        rows = [row for some in found for row in some]
    light = [row for row in rows if row.source not in DARK]
    models = {reason: fitted([row for row in light if not row.kept_out], reason)
              for reason in MEASURES_OF}  # fmt: skip
    fit_on = sum(row.kind == UNTOUCHED and not row.kept_out for row in light)
    about = f"scripts/fit_reasons.py on {fit_on} photos and a twin for each distortion"
    WEIGHTS.write_text(
        json.dumps(
            {"fitted_by": about, "models": {name: asdict(each) for name, each in models.items()}},
            indent=1,
        )
        + "\n"
    )
    print(about, "\n")
    print(*table([row for row in light if row.kept_out], models), sep="\n")
    dark = [row for row in rows if row.source in DARK and row.kind == UNTOUCHED]
    if dark:
        print(f"\nof {len(dark)} photos that were taken in the dark:")
        for reason, model in models.items():
            share = np.mean([model.odds(row.measures) >= 0 for row in dark])
            print(f"{reason} {100 * share:.0f} %")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
