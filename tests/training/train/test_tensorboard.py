"""Events of a run for TensorBoard, read back from its events."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from siamese_nima.config import PhaseConfig
from siamese_nima.data.samples import Sample
from siamese_nima.errors import ConfigError
from siamese_nima.evaluate.metrics import worst_pairs
from siamese_nima.train import tensorboard as summaries
from siamese_nima.train.config import TrainConfig
from siamese_nima.train.run import train
from siamese_nima.train.tensorboard import THUMBNAIL, Board, draw_pairs

Make = Callable[..., TrainConfig]


def events(folder: Path) -> dict[str, list[tuple[int, tf.Tensor]]]:
    """Step and tensor of each tag."""
    found: dict[str, list[tuple[int, tf.Tensor]]] = defaultdict(list)
    for file in sorted(folder.glob("events.*")):
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                found[value.tag].append((event.step, tf.make_ndarray(value.tensor)))
    return found


def test_a_run_can_be_watched(make: Make, labelled: Path) -> None:
    # Labels that have nothing to do with the photos: some pairs are ranked wrong.
    labels = "".join(f"{index}.png {index % 2}\n" for index in range(24))
    (labelled / "labels.csv").write_text("file_name label\n" + labels)
    config = make("watched", tensorboard=True, body=PhaseConfig(epochs=2, learning_rate=0.0))
    position = train(config)
    found = events(config.output / "tensorboard")
    for phase, epochs in (("head", 1), ("body", 2)):
        rows = [row for row in position.log if row["phase"] == phase]
        accuracy = found[f"{phase}/held_out_pairwise_accuracy"]
        assert [step for step, _ in accuracy] == list(range(1, epochs + 1))
        assert [float(value) for _, value in accuracy] == pytest.approx(
            [row["held_out_pairwise_accuracy"] for row in rows]
        )
        losses = found[f"{phase}_step/loss"]
        steps = [step for step, _ in losses]
        assert steps == list(range(len(steps)))
        assert len(steps) % epochs == 0
        each = len(steps) // epochs
        for epoch, row in enumerate(rows):
            values = [float(value) for _, value in losses[epoch * each : (epoch + 1) * each]]
            assert np.mean(values) == pytest.approx(row["loss"], rel=1e-4)
        assert [step for step, _ in found[f"{phase}_step/learning_rate"]] == steps
    (step, (width, height, encoded)), *_ = found["body/worst_ranked_held_out_pairs"]
    assert step == 1
    picture = Image.open(io.BytesIO(encoded))
    assert picture.size == (int(width), int(height))
    assert picture.width > 2 * THUMBNAIL


def test_pairs_are_drawn_side_by_side(tmp_path: Path) -> None:
    samples = []
    for number, colour in enumerate(["red", "lime", "blue"]):
        Image.new("RGB", (40, 30), colour).save(tmp_path / f"{number}.png")
        samples.append(Sample(tmp_path / f"{number}.png", float(number)))
    sheet = draw_pairs(samples, np.array([5.0, 6.0, 4.0]), np.array([2, 1]), np.array([0, 0]))
    middle = sheet[THUMBNAIL // 2]
    seen = [tuple(map(int, pixel)) for pixel in middle[:: THUMBNAIL // 4]]
    order = [colour for colour in dict.fromkeys(seen) if colour != (255, 255, 255)]
    assert order == [(0, 0, 255), (255, 0, 0), (0, 255, 0)], "blue before red, green before red"
    # Below the photos is something to read.
    assert (sheet[THUMBNAIL + 10 :] < 128).any()


@given(
    labels=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1), st.floats(1, 10)), max_size=12),
    count=st.integers(0, 5),
)
def test_worst_pairs(labels: list[tuple[int, int, float]], count: int) -> None:
    score, group, means = (np.array(each) for each in zip(*labels, strict=True)) if labels else (
        np.empty(0), np.empty(0, int), np.empty(0)
    )  # fmt: skip
    better, worse = worst_pairs(score.astype(float), means.astype(float), group, count)
    assert len(better) == len(worse) <= count
    assert (score[better] > score[worse]).all()
    assert (group[better] == group[worse]).all()
    lead = means[better] - means[worse]
    assert (lead <= 0).all()
    assert (np.diff(lead) >= 0).all(), "the worst comes first"
    photos = [*better, *worse]
    assert len(set(photos)) == len(photos)
    wrong = [
        means[a] - means[b]
        for a in range(len(score))
        for b in range(len(score))
        if score[a] > score[b] and group[a] == group[b]
    ]
    if count and wrong and min(wrong) <= 0:
        assert lead[0] == min(wrong)


def test_without_tensorboard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(summaries, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"siamese-nima\[tensorboard\]"):
        Board(tmp_path)
