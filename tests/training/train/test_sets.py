"""Sets of a run: what one judges by is learnt from in none, and judgements stay whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from siamese_nima.data import DataConfig
from siamese_nima.train.config import SetConfig, TrainConfig
from siamese_nima.train.judging import ACCURACY, judge
from siamese_nima.train.objective import LossWeights
from siamese_nima.train.sets import open_sets

Make = Callable[..., TrainConfig]
LOSS = LossWeights(logistic=1.0)


def picks(labelled: Path, rows: list[tuple[int, int]], **options: float) -> SetConfig:
    table = labelled / "pairs.csv"
    table.write_text("winner,loser\n" + "".join(f"{a}.png,{b}.png\n" for a, b in rows))
    data = DataConfig("pairs", labelled / "photos", table)
    return SetConfig("picks", data, LOSS, 2, **options)  # type: ignore[arg-type]


def test_judgements_that_all_hang_together_are_learnt_from(make: Make, labelled: Path) -> None:
    """Split one by one, they share photos; what is learnt is not emptied for that."""
    rows = [(a, b) for a in range(12) for b in range(a)]
    config = make("run", sets=(picks(labelled, rows, held_out_share=0.3),))
    training, held_out = open_sets(config)
    assert len(training.samples) + len(held_out.samples) == 2 * len(rows)
    for side in (training, held_out):
        assert len(side.samples) >= 20
        assert set(Counter(side.group.tolist()).values()) == {2}


def test_a_judgement_goes_with_a_photo_that_another_set_judges_by(
    make: Make, labelled: Path
) -> None:
    rows = [(a, a + 1) for a in range(0, 24, 2)]
    labels = make("run").sets[0]
    config = make("run", sets=(labels, picks(labelled, rows, held_out_share=0.2)))
    training, held_out = open_sets(config)
    judged = {sample.digest for sample in held_out.samples}
    learnt = [sample for sample in training.samples if sample.group]
    assert 0 < len(learnt) < 2 * len(rows)
    assert not judged & {sample.digest for sample in training.samples}
    assert set(Counter(sample.group for sample in learnt).values()) == {2}


def test_a_set_may_be_learnt_from_alone(make: Make, labelled: Path) -> None:
    """It holds nothing out; the other sets judge, and their photos are learnt from in neither."""
    labels = make("run").sets[0]
    rows = [(a, a + 1) for a in range(0, 24, 2)]
    config = make("run", sets=(picks(labelled, rows, held_out_share=0.0), labels))
    training, held_out = open_sets(config)
    assert len(training.rows(0)) > 0
    assert set(held_out.member.tolist()) == {1}
    judged = judge(config.sets, held_out, held_out.score)
    assert "picks_held_out_pairwise_accuracy" not in judged
    assert judged[ACCURACY] == judged["photos_held_out_pairwise_accuracy"] == 1.0
