"""Tables of labels as programs and people really write them."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Literal

import pytest

from siamese_nima.data import DataConfig
from siamese_nima.data.tables import read_names, read_samples
from siamese_nima.errors import DataError


def config(folder: Path, text: str, form: str = "scores", name: str = "f.csv") -> DataConfig:
    (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    return DataConfig(form, folder, folder / name)


@pytest.mark.parametrize(
    "text",
    [
        "file_name;mean\na.jpg;3,5\nb.jpg;7\n",
        "sep=;\nfile_name;mean\na.jpg;3,5\nb.jpg;7\n",
        '"sep=|"\r\nfile_name|mean\r\na.jpg|3,5\r\nb.jpg|7\r\n',
        "\n\nfile_name,mean\na.jpg,3.5\n\nb.jpg,7\n,\n",
        ";;\nfile_name;mean;\na.jpg;3.5;\nb.jpg;7;\n;;\n",
        "\ufefffile_name\tmean\ra.jpg\t3.5\rb.jpg\t7\r",
        'file_name,mean\na.jpg,"3,5"\nb.jpg,7',
        "  \nfile_name mean\na.jpg  3,5\nb.jpg\t7\n",
        "file_name,mean,note\na.jpg,3.5," + "x" * 140_000 + "\nb.jpg,7,\n",
        "file_name,mean,note\na.jpg,3.5,one\u2028two\x0cthree\x85\nb.jpg,7,\x1c\n",
    ],
)
def test_tables_as_they_come(tmp_path: Path, text: str) -> None:
    samples, problems = read_samples(config(tmp_path, text))
    assert not problems
    assert [(sample.path.name, sample.score) for sample in samples] == [
        ("a.jpg", 3.5),
        ("b.jpg", 7.0),
    ]


@pytest.mark.parametrize("name", ["a\0b.jpg", "n" * 140_000, "é" * 200 + ".jpg", ""])
def test_a_name_that_no_file_can_have_costs_its_row_alone(tmp_path: Path, name: str) -> None:
    found = config(tmp_path, f"file_name,mean\na.jpg,3\n{name},4\nb.jpg,7\n")
    samples, problems = read_samples(found)
    assert [sample.path.name for sample in samples] == ["a.jpg", "b.jpg"]
    assert [(problem.code, problem.where) for problem in problems] == [("MALFORMED", "line 3")]
    with pytest.raises(DataError, match="line 3"):
        read_names(found)


def test_half_a_character_in_json(tmp_path: Path) -> None:
    text = '[{"image_id": "\\ud800", "mean": 4}, {"image_id": "a.jpg", "mean": 5}]'
    (tmp_path / "f.json").write_text(text)
    found = DataConfig("scores", tmp_path, tmp_path / "f.json", label_column="mean")
    samples, problems = read_samples(found)
    assert [sample.path.name for sample in samples] == ["a.jpg"]
    assert [problem.code for problem in problems] == ["MALFORMED"]


def test_a_comma_in_a_count_is_not_guessed_at(tmp_path: Path) -> None:
    header = ";".join(["file_name", *(f"votes_{vote}" for vote in range(1, 11))])
    text = f"{header}\na.jpg;1,234{';1' * 9}\nb.jpg{';1' * 10}\n"
    samples, problems = read_samples(config(tmp_path, text, "histograms"))
    assert [sample.path.name for sample in samples] == ["b.jpg"]
    assert [problem.code for problem in problems] == ["MALFORMED"]


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_table", ["NFC", "NFD"])
def test_accents_spelt_otherwise_than_on_the_disk(
    tmp_path: Path, on_disk: Literal["NFC", "NFD"], in_table: Literal["NFC", "NFD"]
) -> None:
    photo = tmp_path / unicodedata.normalize(on_disk, "été.jpg")
    photo.touch()
    name = unicodedata.normalize(in_table, "été.jpg")
    (sample,), _ = read_samples(config(tmp_path, f"file_name,mean\n{name},5\n"))
    assert sample.path == photo


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("IMG_1.CR2", "IMG_1.CR2.jpg"),
        ("P1.2023.05", "P1.2023.05.jpg"),
        ("plain", "plain.jpg"),
        ("x.tif", "x.tif"),
        ("raw.NEF", "raw.NEF"),
    ],
)
def test_a_suffix_is_added_where_the_file_has_one_more(
    tmp_path: Path, name: str, file: str
) -> None:
    (tmp_path / file).touch()
    (sample,), _ = read_samples(config(tmp_path, f"file_name,mean\n{name},5\n"))
    assert sample.path == tmp_path / file
