"""Agreement with a simulated taste, before and after `siamese-nima personalise`.

    python benchmarks/training/taste.py PHOTOS --labels FILE [--label-column NAME] [--taste warm]

The taste is people's mean opinion plus a strong preference that pixels tell: both are brought to a
standard deviation of 1, and the preference counts `WEIGHT` times. From 100 picks a tower is tuned;
then it and the one that it began from order pairs of photos that no pick has. A pick never errs.
Prints both shares of pairs in the right order, their difference and the seconds that it took.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from iq_serving.contract import ONNX_FILE, TOWER_MODEL, VERSION
from iq_serving.preprocessing import load_pixels
from siamese_nima.data import DataConfig, Sample
from siamese_nima.data.tables import read_samples
from siamese_nima.evaluate.prediction import score_samples
from siamese_nima.evaluate.scorers import open_scorer
from siamese_nima.personalise.learning import measured

Floats = npt.NDArray[np.floating[Any]]

PICKS: Final = 100
JUDGED: Final = 600  # photos of the pairs that no pick has
WEIGHT: Final = 1.5
SIDE: Final = 64


def warm(pixels: Floats) -> float:
    """Red over blue."""
    return float(pixels[..., 0].mean() - pixels[..., 2].mean())


def dark(pixels: Floats) -> float:
    """Darkness."""
    return -float(pixels.mean())


def sharp(pixels: Floats) -> float:
    """Contrast between neighbours, of which blur leaves little."""
    return float(np.log(1 + np.abs(np.diff(pixels.mean(axis=-1), axis=1)).mean()))


TASTES: Final[dict[str, Callable[[Floats], float]]] = {"warm": warm, "dark": dark, "sharp": sharp}


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--label-column", default="mean")
    parser.add_argument("--taste", choices=TASTES, default="warm")
    parser.add_argument("--from", dest="base", type=Path, default=Path("model_repository"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("options", nargs="*", help="after --: options of personalise")
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    config = DataConfig(
        "scores", asked.photos, asked.labels, label_column=asked.label_column, lowest=-1e3,
        highest=1e3,
    )  # fmt: skip
    samples, _ = read_samples(config)
    samples = [sample for sample in samples if sample.path.is_file()]
    chosen = rng.choice(len(samples), 2 * PICKS + JUDGED, replace=False)
    samples = [samples[index] for index in chosen]
    taste = liking([sample.path for sample in samples], TASTES[asked.taste])
    opinion = np.array([sample.score for sample in samples])
    wanted = standard(opinion) + WEIGHT * taste
    with tempfile.TemporaryDirectory() as folder:
        picks, mine = Path(folder, "picks.csv"), Path(folder, "mine")
        with picks.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["winner", "loser"])
            for a, b in np.arange(2 * PICKS).reshape(-1, 2):
                winner, loser = (a, b) if wanted[a] > wanted[b] else (b, a)
                table.writerow([samples[winner].path.resolve(), samples[loser].path.resolve()])
        began = time.monotonic()
        subprocess.run(
            [
                str(Path(sys.executable).with_name("siamese-nima")), "personalise",
                str(asked.photos), "--pairs", str(picks), "--from", str(asked.base), "-o",
                str(mine), "--even-if-unproven", *asked.options,
            ],
            check=True,
        )  # fmt: skip
        seconds = time.monotonic() - began
        judged = [
            Sample(sample.path, float(score))
            for sample, score in zip(samples[2 * PICKS :], wanted[2 * PICKS :], strict=True)
        ]
        graph = Path(TOWER_MODEL, VERSION, ONNX_FILE)
        before, after = (
            score_samples(judged, open_scorer(base / graph)) for base in (asked.base, mine)
        )
    gain = measured(judged, before, after, asked.seed)
    print(
        f"{asked.taste}: pairs of {JUDGED} other photos in the wanted order: "
        f"{gain.before.value:.3f} before, {gain.after.value:.3f} after; difference "
        f"{gain.difference.value:+.3f} ({gain.difference.low:+.3f} to {gain.difference.high:+.3f});"
        f" {seconds:.0f} s"
    )


def liking(paths: list[Path], like: Callable[[Floats], float]) -> Floats:
    """The preference for each photo, of mean 0 and deviation 1 [N]."""
    pixels = (load_pixels(path.read_bytes(), image_size=(SIDE, SIDE)) for path in paths)
    return standard(np.array([like(each.astype(np.float32)) for each in pixels]))


def standard(values: Floats) -> Floats:
    """Values brought to a mean of 0 and a deviation of 1."""
    return np.asarray((values - values.mean()) / values.std())


if __name__ == "__main__":
    main()
