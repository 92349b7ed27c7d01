"""The sets of docs/guides/training.md are sets that a run takes."""

from __future__ import annotations

import re
from pathlib import Path

from siamese_nima.config import read_config
from siamese_nima.train.config import TrainConfig

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "training.md"
RUN = """
tower = "mobilenet"
weights = "random"
output = "runs/guide"
{sets}
[head]
epochs = 1
learning_rate = 1e-3

[body]
epochs = 1
learning_rate = 1e-4
"""


def test_the_sets_of_the_guide(tmp_path: Path) -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    forms = set()
    for block in blocks:
        file = tmp_path / "run.toml"
        file.write_text(RUN.format(sets=block), encoding="utf-8")
        forms |= {each.data.form for each in read_config(TrainConfig, file).sets}
    assert forms >= {"scores", "distortions", "pairs", "stars"}
