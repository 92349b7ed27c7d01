"""Judgements: their forms and their folds."""

from __future__ import annotations

from pathlib import Path

import pytest

from siamese_nima.errors import DataError
from siamese_nima.personalise.judgements import FEWEST, read_judgements


@pytest.fixture
def picks(labelled: Path) -> Path:
    """Twenty-four picks of twelve pairs of photos, and one of a photo that is gone."""
    table = labelled / "picks.csv"
    rows = [f"{index}.png,{(index + 12) % 24}.png" for index in range(12)] * 2
    table.write_text("winner,loser\n" + "\n".join([*rows, "gone.png,1.png"]) + "\n")
    return table


def test_picks_are_read_and_what_is_left_out_is_said(labelled: Path, picks: Path) -> None:
    judged = read_judgements(labelled / "photos", pairs=picks)
    assert (judged.form, len(judged), len(judged.samples)) == ("pairs", 24, 48)
    assert [problem.code for problem in judged.problems] == ["MISSING"]


def test_labels_are_read(labelled: Path) -> None:
    judged = read_judgements(labelled / "photos", labels=labelled / "labels.csv")
    assert (judged.form, len(judged), len(judged.samples)) == ("labels", 24, 24)


def test_picks_that_share_a_photo_are_of_one_fold(labelled: Path, picks: Path) -> None:
    judged = read_judgements(labelled / "photos", pairs=picks)
    folds = judged.folds(3)
    assert set(folds) == {0, 1, 2}
    of_photo: dict[Path, set[int]] = {}
    for sample, fold in zip(judged.samples, folds, strict=True):
        of_photo.setdefault(sample.path, set()).add(int(fold))
    assert all(len(found) == 1 for found in of_photo.values())


def test_a_tournament_is_dealt_out_by_picks(labelled: Path) -> None:
    table = labelled / "tournament.csv"
    rows = [f"{a}.png,{b}.png" for a in range(9) for b in range(a)]
    table.write_text("winner,loser\n" + "\n".join(rows) + "\n")
    judged = read_judgements(labelled / "photos", pairs=table)
    folds = judged.folds(3)
    assert set(folds) == {0, 1, 2}
    assert (folds[::2] == folds[1::2]).all(), "both photos of a pick"


def test_too_few_are_refused(labelled: Path) -> None:
    table = labelled / "few.csv"
    table.write_text("winner,loser\n0.png,1.png\n")
    with pytest.raises(DataError, match=f"1 judgements .* {FEWEST} are the least"):
        read_judgements(labelled / "photos", pairs=table)


def test_judgements_that_say_nothing_are_refused(labelled: Path) -> None:
    table = labelled / "ties.csv"
    rows = "".join(f"{index}.png,{index + 1}.png,1\n" for index in range(22))
    table.write_text("winner,loser,tie\n" + rows)
    with pytest.raises(DataError, match="say the same"):
        read_judgements(labelled / "photos", pairs=table)
