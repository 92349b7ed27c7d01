"""Labels of every form, what is wrong with them, and the pixels that come out."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.cli import main
from siamese_nima.data import DataConfig, inspect
from siamese_nima.data.decoding import decode
from siamese_nima.data.distortions import DISTORTIONS, LEVELS
from siamese_nima.data.tables import COUNT_COLUMNS, read_names, read_samples
from siamese_nima.errors import ConfigError, DataError
from siamese_nima.evaluate.prediction import write_table

COUNTS = [0, 1, 5, 17, 38, 36, 15, 6, 5, 1]
MEAN = sum((i + 1) * n for i, n in enumerate(COUNTS)) / sum(COUNTS)


def config(folder: Path, form: str, text: str, name: str = "f.csv", **keys: object) -> DataConfig:
    (folder / name).write_text(text)
    return DataConfig(form, folder, folder / name, **keys)  # type: ignore[arg-type]


def test_seed_format(tmp_path: Path) -> None:
    text = "file_name label\na.jpg 12\nb.jpg  -3\na.jpg 12\n"
    samples, problems = read_samples(config(tmp_path, "labels", text))
    assert [(s.path, s.score) for s in samples] == [
        (tmp_path / "a.jpg", 12.0),
        (tmp_path / "b.jpg", -3.0),
    ]
    assert [(p.code, p.where, p.bad) for p in problems] == [("DUPLICATE", "line 4", False)]


@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
def test_other_separators_and_columns(tmp_path: Path, separator: str) -> None:
    rows = [["bucket", "photo"], ["4", "x/a.png"], ["5", "b"]]
    text = "\n".join(separator.join(row) for row in rows)
    found = config(tmp_path, "labels", text, file_column="photo", label_column="bucket")
    samples, problems = read_samples(found)
    assert [(s.path, s.score) for s in samples] == [
        (tmp_path / "x/a.png", 4.0),
        (tmp_path / "b.jpg", 5.0),
    ]
    assert not problems
    assert read_names(found) == [tmp_path / "x/a.png", tmp_path / "b.jpg"]


def histogram_files(folder: Path) -> list[DataConfig]:
    counts = " ".join(map(str, COUNTS))
    table = ",".join(["file_name", *COUNT_COLUMNS]) + "\n953619.jpg," + counts.replace(" ", ",")
    entries = json.dumps([{"image_id": "953619", "label": COUNTS}])
    return [
        config(folder, "ava", f"1 953619 {counts} 1 22 1396\n", "AVA.txt"),
        config(folder, "histograms", entries, "f.json"),
        config(folder, "histograms", table),
    ]


@pytest.mark.parametrize("index", range(3))
def test_histograms(tmp_path: Path, index: int) -> None:
    (sample,), problems = read_samples(histogram_files(tmp_path)[index])
    assert not problems
    assert sample.path == tmp_path / "953619.jpg"
    assert sample.distribution == pytest.approx([n / sum(COUNTS) for n in COUNTS])
    assert sample.score == pytest.approx(MEAN)
    assert sample.std == pytest.approx(np.std(np.repeat(np.arange(1, 11), COUNTS)))


def test_a_table_of_predictions_is_a_teacher(tmp_path: Path) -> None:
    """Of `siamese-nima predict`: shares say nothing of the number of votes."""
    shares = np.array([COUNTS, COUNTS[::-1]]) / sum(COUNTS)
    frame = pd.DataFrame(shares, columns=[f"p{vote}" for vote in range(1, 11)])
    frame.insert(0, "source", ["a.jpg", "b.jpg"])
    write_table(frame, tmp_path / "scores.csv")
    data = DataConfig("histograms", tmp_path, tmp_path / "scores.csv", file_column="source")
    samples, problems = read_samples(data)
    assert not problems
    assert [sample.path.name for sample in samples] == ["a.jpg", "b.jpg"]
    found = [sample.distribution or () for sample in samples]
    np.testing.assert_allclose(found, shares, atol=1e-6)
    assert [sample.error for sample in samples] == [0.0, 0.0]


def test_scores_are_mapped_to_votes(tmp_path: Path) -> None:
    text = "file_name,mean,sd\na.jpg,1,0.5\nb.jpg,5,0\nc.jpg,3,1"
    samples, problems = read_samples(
        config(tmp_path, "scores", text, std_column="sd", lowest=1.0, highest=5.0)
    )
    assert not problems
    assert [s.score for s in samples] == [1.0, 10.0, 5.5]
    assert [s.std for s in samples] == pytest.approx([1.125, 0.0, 2.25])


@pytest.mark.parametrize(
    ("form", "row", "code"),
    [
        ("labels", "a.jpg,high", "MALFORMED"),
        ("labels", "a.jpg,1.5", "MALFORMED"),
        ("labels", "a.jpg", "MALFORMED"),
        ("labels", ",1", "MALFORMED"),
        ("labels", "a.jpg,inf", "OUT_OF_RANGE"),
        ("scores", "a.jpg,11", "OUT_OF_RANGE"),
        ("scores", "a.jpg,nan", "OUT_OF_RANGE"),
    ],
)
def test_bad_rows_are_named_and_the_others_kept(
    tmp_path: Path, form: str, row: str, code: str
) -> None:
    text = f"file_name,value\ngood.jpg,4\n{row}\n"
    samples, problems = read_samples(config(tmp_path, form, text, label_column="value"))
    assert [s.path.name for s in samples] == ["good.jpg"]
    assert [(p.code, p.where) for p in problems] == [(code, "line 3")]


def test_bad_histograms(tmp_path: Path) -> None:
    rows = [[1, 2], [0] * 10, [-1] + [1] * 9, "votes", [1] * 9 + ["many"]]
    entries = json.dumps([{"image_id": i, "label": row} for i, row in enumerate(rows)])
    samples, problems = read_samples(config(tmp_path, "histograms", entries, "f.json"))
    assert not samples
    assert [p.code for p in problems] == [
        "MALFORMED", "OUT_OF_RANGE", "OUT_OF_RANGE", "MALFORMED", "MALFORMED",
    ]  # fmt: skip


def test_a_photo_of_two_labels_is_no_sample(tmp_path: Path) -> None:
    samples, problems = read_samples(
        config(tmp_path, "labels", "file_name label\na.jpg 1\na.jpg 2\nb.jpg 1")
    )
    assert [s.path.name for s in samples] == ["b.jpg"]
    assert [p.code for p in problems] == ["CONFLICT"]


def test_files_that_are_no_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'label'; there are name, bucket"):
        read_samples(config(tmp_path, "labels", "file_name,x").__class__(
            "labels", tmp_path, config(tmp_path, "labels", "name,bucket").file, file_column="name"
        ))  # fmt: skip
    with pytest.raises(DataError, match="empty"):
        read_samples(config(tmp_path, "labels", ""))
    with pytest.raises(DataError, match="not JSON"):
        read_samples(config(tmp_path, "histograms", "{", "f.json"))
    with pytest.raises(DataError, match="cannot read"):
        read_samples(DataConfig("labels", tmp_path, tmp_path / "missing.csv"))
    with pytest.raises(ConfigError, match="not one of labels"):
        read_samples(config(tmp_path, "votes", "file_name"))


@given(st.text(max_size=200))
def test_any_text_gives_samples_problems_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_text("file_name label\n" + text, "utf-8", errors="replace")
    samples, problems = read_samples(DataConfig("labels", file.parent, file))
    rows = sum(bool(line) for line in file.read_text("utf-8").splitlines()[1:])
    assert len(samples) <= rows
    assert len(samples) + len(problems) <= rows * 2


def damaged(labelled: Path) -> DataConfig:
    """Of 24 photos, one is cut off, one gone and one a copy."""
    photos = labelled / "photos"
    whole = (photos / "3.png").read_bytes()
    (photos / "3.png").write_bytes(whole[: len(whole) // 2])
    (photos / "4.png").unlink()
    shutil.copy(photos / "5.png", photos / "8.png")
    return DataConfig("labels", photos, labelled / "labels.csv")


def test_bad_photos_are_listed_and_stop_a_run(labelled: Path) -> None:
    inspection = inspect(damaged(labelled))
    assert len(inspection.samples) == 22
    assert sorted(p.code for p in inspection.problems) == ["MISSING", "UNREADABLE"]
    assert [path.name for path in inspection.copies] == ["8.png"]
    assert inspection.bad_share == pytest.approx(2 / 24)
    inspection.require(0.1)
    with pytest.raises(DataError, match="UNREADABLE"):
        inspection.require(0.05)


def test_copies_stand_on_one_side(labelled: Path) -> None:
    training, held_out = inspect(damaged(labelled)).split(0.5)
    assert training
    assert held_out
    assert {s.digest for s in training}.isdisjoint(s.digest for s in held_out)


def test_check_command(labelled: Path) -> None:
    config = damaged(labelled)
    arguments = ["data", "check", str(config.images), "--file", str(config.file)]
    strict = CliRunner().invoke(main, arguments)
    assert strict.exit_code == 1
    assert "2 rows are bad, 22 good" in strict.output
    file = labelled / "check.json"
    lenient = CliRunner().invoke(main, [*arguments, "--max-bad-share", "0.5", "--json", str(file)])
    assert lenient.exit_code == 0, lenient.output
    found = json.loads(file.read_text())
    assert found["problem_counts"] == {"UNREADABLE": 1, "MISSING": 1}
    assert found["histogram"] == [
        {"score": -7.0, "count": 7}, {"score": 0.0, "count": 7}, {"score": 7.0, "count": 8},
    ]  # fmt: skip
    copies = f"copies {len(found['copies'])}"
    for count in ("good 22", "UNREADABLE 1", "MISSING 1", copies):
        assert count in lenient.output
    assert f"7                  8 {'█' * 40}" in lenient.output


def test_check_shows_the_first_of_many_problems(tmp_path: Path) -> None:
    rows = "".join(f"{index}.png 1\n" for index in range(50))
    (tmp_path / "labels.csv").write_text(f"file_name label\n{rows}")
    result = CliRunner().invoke(
        main, ["data", "check", str(tmp_path), "--file", str(tmp_path / "labels.csv")]
    )
    assert result.exit_code == 1
    assert result.output.count(".png: MISSING") == 20 + 10, "ten of them with the error"
    assert "and 30 more problems: --json" in result.output


def test_ladders_of_distortions(labelled: Path) -> None:
    inspection = inspect(DataConfig("distortions", labelled / "photos"))
    rungs = len(LEVELS) + 1
    assert len(inspection.samples) == 24 * len(DISTORTIONS) * rungs
    ladder = inspection.samples[:rungs]
    assert len({s.group for s in ladder}) == 1
    assert [s.score for s in ladder] == [0, -1, -2, -3, -4]
    size = {"image_size": (32, 32), "interpolation": "bilinear"}
    clean = decode(ladder[0], **size).astype(float)  # type: ignore[arg-type]
    worst = dataclasses.replace(ladder[0], kind="noise", severity=1.0)
    first, again = decode(worst, **size), decode(worst, **size)  # type: ignore[arg-type]
    assert np.array_equal(first, again), "a rung looks alike in every epoch"
    assert np.abs(first - clean).mean() > 3
