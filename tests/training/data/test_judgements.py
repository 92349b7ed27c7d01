"""Single judgements: read from a table, kept together, and split without a leak."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese_nima.data import DataConfig, Inspection, inspect
from siamese_nima.errors import DataError


def judgements(folder: Path, table: str, photos: int = 12) -> Inspection:
    rng = np.random.default_rng(2)
    for index in range(photos):
        pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    (folder / "pairs.csv").write_text(table)
    return inspect(DataConfig("pairs", folder, folder / "pairs.csv"))


def test_winners_losers_ties_and_weights(tmp_path: Path) -> None:
    table = "winner,loser,weight,tie\n0.png,1.png,,\n2.png,1.png,0.5,0\n3.png,4.png,2,yes\n"
    found = judgements(tmp_path, table)
    rows = [(sample.path.stem, sample.score, sample.weight) for sample in found.samples]
    assert rows == [
        ("0", 1, 1), ("1", 0, 1), ("2", 1, 0.5), ("1", 0, 0.5), ("3", 0, 2), ("4", 0, 2),
    ]  # fmt: skip
    groups = [sample.group for sample in found.samples]
    assert groups[::2] == groups[1::2]
    assert len(set(groups)) == 3


def test_bad_rows_are_named_and_unreadable_photos_take_their_partner_along(tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(b"torn")
    table = (
        "winner,loser,weight,tie\n0.png,0.png\n1.png,\n1.png,2.png,-3\n1.png,2.png,1,perhaps\n"
        "3.png,torn.png\n4.png,missing.png\n5.png,6.png\n"
    )
    found = judgements(tmp_path, table)
    assert [sample.path.stem for sample in found.samples] == ["5", "6"]
    assert sorted(problem.code for problem in found.problems) == [
        "MALFORMED", "MALFORMED", "MALFORMED", "MISSING", "OUT_OF_RANGE", "UNREADABLE",
    ]  # fmt: skip
    with pytest.raises(DataError, match="no column 'loser'"):
        judgements(tmp_path, "winner,worse\n0.png,1.png\n")


def test_no_photo_stands_on_both_sides_of_a_split(tmp_path: Path) -> None:
    """Chains of three photos: what hangs together by judgements stays together."""
    chains = [(start + a, start + a + 1) for start in range(0, 90, 3) for a in (0, 1)]
    table = "winner,loser\n" + "".join(f"{a}.png,{b}.png\n" for a, b in chains)
    found = judgements(tmp_path, table, photos=90)
    learnt, held_out = found.split(0.4)
    assert len(learnt) > 20
    assert len(held_out) > 20
    assert not {s.path for s in learnt} & {s.path for s in held_out}


def test_judgements_that_all_hang_together_are_split_one_by_one(tmp_path: Path) -> None:
    table = "winner,loser\n" + "".join(f"{a}.png,{b}.png\n" for a in range(12) for b in range(a))
    learnt, held_out = judgements(tmp_path, table).split(0.4)
    assert len(learnt) + len(held_out) == 12 * 11
    for side in (learnt, held_out):
        assert len(side) > 20
        assert [s.group for s in side[::2]] == [s.group for s in side[1::2]], "pairs stay whole"
