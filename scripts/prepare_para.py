"""Label tables of PARA (Yang et al., CVPR 2022) that `siamese-nima` reads.

    python scripts/prepare_para.py PHOTOS --annotation FOLDER -o OUTPUT

PHOTOS holds `SESSION/NAME`, FOLDER the annotation's `PARA-GiaaTrain.csv` and `PARA-GiaaTest.csv`.
Writes `train.csv` and `test.csv`, the official split: `file_name`, `aesthetic_mean` and
`quality_mean`, means of about 25 votes on the scale 1…5. A photo to train on whose bytes are also
among those to test on is left out, and so is one that is missing; both are counted.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from pathlib import Path
from typing import Final

PARTS: Final = {"test": "PARA-GiaaTest.csv", "train": "PARA-GiaaTrain.csv"}


def main() -> None:
    """Writes both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--annotation", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    asked = parser.parse_args()
    tested: set[bytes] = set()
    for part, source in PARTS.items():
        missing = copies = 0
        rows = []
        with (asked.annotation / source).open(newline="") as file:
            for row in csv.DictReader(file):
                name = f"{row['sessionId']}/{row['imageName']}"
                photo = asked.photos / name
                if not photo.is_file():
                    missing += 1
                    continue
                digest = hashlib.sha256(photo.read_bytes()).digest()
                if part == "test":
                    tested.add(digest)
                elif digest in tested:
                    copies += 1
                    continue
                rows.append([name, row["aestheticScore_mean"], row["qualityScore_mean"]])
        with (asked.output / f"{part}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["file_name", "aesthetic_mean", "quality_mean"])
            table.writerows(rows)
        print(f"{part}: {len(rows)} photos; left out {missing} missing, {copies} also in the test")


if __name__ == "__main__":
    main()
