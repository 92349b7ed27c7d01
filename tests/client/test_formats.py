"""Results as files."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iq_client.formats import (
    FILE_FORMATS,
    FileFormat,
    _harmless,
    format_of,
    open_writer,
    read_scores,
    valid_text,
)
from iq_client.results import ImageError, RankedImage, Score

# Any text at all: newlines, NUL, quotes, and the lone surrogates of file names in old encodings.
any_text = st.text(st.characters(), max_size=40)
fp32 = st.floats(0, 1, width=32)
scored = st.builds(
    Score,
    any_text,
    st.floats(1, 10, width=32),
    st.floats(0, 4.5, width=32),
    st.lists(fp32, min_size=10, max_size=10).map(tuple),
)
failed = st.builds(
    Score.failed, any_text, st.builds(ImageError, st.sampled_from(["EMPTY", "NOT_FOUND"]), any_text)
)
scores = st.lists(st.one_of(scored, failed), max_size=8)


def written(
    file_format: FileFormat, rows: Iterable[dict[str, Any]], leading: Sequence[str] = ()
) -> bytes:
    stream = io.BytesIO()
    with open_writer(file_format, stream, leading) as write:
        for row in rows:
            write(row)
    return stream.getvalue()


def same(left: Iterable[Score], right: Iterable[Score]) -> bool:
    """Equality of scores in which NaN equals NaN."""
    return [score.to_dict() for score in left] == [score.to_dict() for score in right]


@given(scores)
def test_json_lines_are_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, given_scores: list[Score]
) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "scores.jsonl"
    path.write_bytes(written("jsonl", [score.to_dict() for score in given_scores]))
    assert same(read_scores(path), given_scores)


@given(scores)
def test_parquet_is_read_back_with_escapes_for_what_is_not_unicode(
    tmp_path_factory: pytest.TempPathFactory, given_scores: list[Score]
) -> None:
    path = tmp_path_factory.mktemp("parquet") / "scores.parquet"
    path.write_bytes(written("parquet", [score.to_dict() for score in given_scores]))
    back = list(read_scores(path))
    assert [score.source for score in back] == [valid_text(score.source) for score in given_scores]
    assert [score.distribution for score in back] == [score.distribution for score in given_scores]
    assert [score.ok for score in back] == [score.ok for score in given_scores]


@given(scores)
def test_json_is_one_array(given_scores: list[Score]) -> None:
    rows = [score.to_dict() for score in given_scores]
    assert json.loads(written("json", rows)) == rows


@given(scores)
def test_csv_keeps_every_fp32_number(given_scores: list[Score]) -> None:
    text = written("csv", [score.to_dict() for score in given_scores]).decode("utf-8")
    table = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["source"] for row in table] == [
        _harmless(valid_text(s.source)) for s in given_scores
    ]
    for row, score in zip(table, given_scores, strict=True):
        if score.ok:
            assert np.float32(row["mean"]) == np.float32(score.mean)
            assert tuple(np.float32(row[f"p{vote}"]) for vote in range(1, 11)) == tuple(
                np.float32(p) for p in score.distribution
            )
        else:
            assert row["mean"] == row["p1"] == ""
            assert score.error is not None
            assert row["error_code"] == score.error.code


@pytest.mark.parametrize("file_format", FILE_FORMATS)
def test_reasons_stand_behind_the_score_in_a_ranking(file_format: FileFormat) -> None:
    score = Score("a.jpg", 6.5, 1.5, (0.1,) * 10)
    rows = [
        RankedImage(1, score).to_dict(),
        RankedImage(2, score, ("blurry", "small")).to_dict(),
        RankedImage(3, score, ()).to_dict(),
    ]
    data = written(file_format, rows, ("rank",))
    if file_format == "csv":
        table = [row[-1] for row in csv.reader(io.StringIO(data.decode()))]
        assert table == ["reasons", "", "blurry small", ""]
        return
    if file_format == "parquet":
        found = pq.read_table(io.BytesIO(data)).to_pylist()
        assert "reasons" not in pq.read_table(io.BytesIO(written("parquet", []))).column_names
    else:
        text = data.decode()
        found = json.loads(text) if file_format == "json" else map(json.loads, text.splitlines())
    assert [row["reasons"] for row in found] == [None, ["blurry", "small"], []]


@pytest.mark.parametrize("file_format", FILE_FORMATS)
def test_leading_columns_come_first(file_format: FileFormat) -> None:
    good = RankedImage(1, Score("a.jpg", 6.5, 1.5, (0.1,) * 10))
    bad = RankedImage(None, Score.failed("b.jpg", ImageError("EMPTY", "no bytes")))
    data = written(file_format, [good.to_dict(), bad.to_dict()], ("rank",))
    if file_format == "csv":
        header, first, last = csv.reader(io.StringIO(data.decode()))
        assert (header[0], first[0], last[0]) == ("rank", "1", "")
    elif file_format == "parquet":
        table = pq.read_table(io.BytesIO(data))
        assert table.column_names[0] == "rank"
        assert table["rank"].to_pylist() == [1, None]
    else:
        text = data.decode()
        rows = json.loads(text) if file_format == "json" else map(json.loads, text.splitlines())
        assert [(next(iter(row)), row["rank"]) for row in rows] == [("rank", 1), ("rank", None)]


@pytest.mark.parametrize("file_format", FILE_FORMATS)
def test_an_interrupted_run_leaves_a_complete_file(file_format: FileFormat, tmp_path: Path) -> None:
    path = tmp_path / f"scores.{file_format}"
    row = Score("a.jpg", 6.5, 1.5, (0.1,) * 10).to_dict()
    with (
        pytest.raises(KeyboardInterrupt),
        path.open("wb") as stream,
        open_writer(file_format, stream) as write,
    ):
        write(row)
        raise KeyboardInterrupt
    if file_format in ("jsonl", "parquet"):
        assert [score.to_dict() for score in read_scores(path)] == [row]
    elif file_format == "json":
        assert json.loads(path.read_text()) == [row]
    else:
        assert len(list(csv.reader(path.read_text().splitlines()))) == 2


def test_more_rows_than_one_parquet_row_group(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    with path.open("wb") as stream, open_writer("parquet", stream) as write:
        for index in range(10_000):
            write(Score(str(index), 5.0, 1.0, (0.1,) * 10).to_dict())
    assert [score.source for score in read_scores(path)] == [str(i) for i in range(10_000)]
    assert pq.ParquetFile(path).num_row_groups > 1


def test_a_line_cut_off_at_the_end_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    whole = written("jsonl", [Score(name, 5.0, 1.0, (0.1,) * 10).to_dict() for name in "ab"])
    path.write_bytes(whole[:-5])
    assert [score.source for score in read_scores(path)] == ["a"]


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text('{"source": "a.jpg"}\n')
    with pytest.raises(ValueError, match=r"line 1 of .*scores.jsonl' is not a score"):
        list(read_scores(path))


def test_a_file_that_is_not_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    path.write_text("PAR?")
    with pytest.raises(ValueError, match=r"scores\.parquet"):
        list(read_scores(path))


@pytest.mark.parametrize(
    ("name", "expected"), [("a.JSONL", "jsonl"), ("a/b.csv", "csv"), (Path("x.parquet"), "parquet")]
)
def test_format_of(name: str | Path, expected: str) -> None:
    assert format_of(name) == expected


@pytest.mark.parametrize("name", ["scores", "scores.txt", ".json"])
def test_unknown_endings_list_the_known_ones(name: str | Path) -> None:
    with pytest.raises(ValueError, match=r"\.parquet"):
        format_of(name)


def test_nan_never_reaches_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        written("json", [{**Score("a", math.nan, 1.0, (0.1,) * 10).to_dict()}])


def test_parquet_without_pyarrow_says_what_to_install() -> None:
    code = (
        "import io, sys; sys.modules['pyarrow'] = None\n"
        "from iq_client.formats import open_writer\n"
        "try: open_writer('parquet', io.BytesIO())\n"
        "except ImportError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'iq-client[parquet]'" in run.stdout


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"])
def test_no_cell_of_text_begins_like_a_formula(start: str) -> None:
    text = f"{start}cmd|'/C calc'!A0"
    score = Score.failed(text, ImageError("UNREADABLE", text))
    row = {**score.to_dict(), "tower": text, "error": {"code": text, "message": text}}
    plain = Score("a=b.jpg", 6.5, 1.5, (0.1,) * 10).to_dict()
    data = written("csv", [row, plain]).decode("utf-8")
    first, second = csv.DictReader(io.StringIO(data, newline=""))
    for name in ("source", "error_code", "error_message", "tower"):
        assert first[name] == "'" + text
    assert second["source"] == "a=b.jpg"
