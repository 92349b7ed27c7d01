"""Results as Arrow tables and data frames."""

from __future__ import annotations

import io
import math

import pyarrow.parquet
import pytest

from iq_client import Group, ImageError, RankedImage, Score, to_arrow, to_dataframe
from iq_client.formats import open_writer

SCORES = [
    Score("a.jpg", 5.5, 1.5, (0.1,) * 10),
    Score.failed("bad\udcff.jpg", ImageError("UNREADABLE", "no image")),
    Score("c.jpg", 6.5, 1.25, (0.05,) * 9 + (0.55,), percentile=83.5, tower="tiny@0123456789ab"),
]
RANKING = [RankedImage(1, SCORES[2]), RankedImage(2, SCORES[0]), RankedImage(None, SCORES[1])]
GROUPS = [Group((RANKING[0],)), Group((RANKING[1], RANKING[2]))]


def test_scores_in_arrow() -> None:
    table = to_arrow(SCORES)
    assert table.column_names == [
        *("source", "mean", "std", "percentile", "distribution", "error", "tower")
    ]
    rows = table.to_pylist()
    assert Score.from_dict(rows[0]) == SCORES[0]
    assert rows[1]["source"] == "bad\\udcff.jpg"
    assert rows[1]["mean"] is None
    assert Score.from_dict(rows[2]) == SCORES[2]
    assert rows[1]["error"] == {"code": "UNREADABLE", "message": "no image"}


def test_a_table_is_what_the_command_line_writes() -> None:
    stream = io.BytesIO()
    with open_writer("parquet", stream, ["rank"]) as write:
        for row in RANKING:
            write(row.to_dict())
    assert pyarrow.parquet.read_table(io.BytesIO(stream.getvalue())).equals(to_arrow(RANKING))


def test_groups_in_arrow() -> None:
    table = to_arrow(GROUPS)
    assert table.column("group").to_pylist() == [1, 2, 2]
    assert table.column("rank").to_pylist() == [1, 2, None]


def test_data_frames() -> None:
    pandas = pytest.importorskip("pandas")
    frame = to_dataframe(GROUPS)
    assert list(frame["group"]) == [1, 2, 2]
    assert str(frame["rank"].dtype) == "Int64" and frame["rank"][2] is pandas.NA
    assert list(frame["mean"][:2]) == [6.5, 5.5] and math.isnan(frame["mean"][2])
    assert list(frame["error_code"]) == [None, None, "UNREADABLE"]
    assert frame["percentile"][0] == 83.5 and math.isnan(frame["percentile"][1])
    assert list(frame["tower"]) == ["tiny@0123456789ab", None, None]
    assert frame["distribution"][0] == list(SCORES[2].distribution)
    assert list(to_dataframe(SCORES)["source"]) == [score.source for score in SCORES]


def test_nothing() -> None:
    assert to_arrow([]).num_rows == 0
    assert list(to_dataframe([]).columns)[:3] == ["source", "mean", "std"]
