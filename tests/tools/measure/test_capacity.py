"""Pods, hours and bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from iq_tools.errors import InputError
from iq_tools.measure.capacity import (
    NUMBERS_BYTES,
    Job,
    Pod,
    best_rate,
    capacity,
    markdown_table,
)
from iq_tools.measure.perf import Measurement
from iq_tools.measure.perf import markdown_table as perf_table

JOB = Job(photos=7_200_000, photo_bytes=500_000, id_bytes=48, shard_photos=7_000)
POD = Pod(rate=100, units=4, unit="core")


def test_pods_need_hours() -> None:
    found = capacity(JOB, POD, pods=10, efficiency=0.8)
    assert found.rate == pytest.approx(800)
    assert found.hours == pytest.approx(2.5)
    assert found.bytes_in == pytest.approx(3.6e12)
    assert found.bytes_in_per_second == pytest.approx(4e8)
    assert found.bytes_out == 7_200_000 * (NUMBERS_BYTES + 48)
    assert found.shards == 1029
    assert found.shard_minutes == pytest.approx(7_000 / 80 / 60)


def test_hours_need_pods_and_no_more() -> None:
    assert capacity(JOB, POD, hours=2.5, efficiency=0.8).pods == 10
    assert capacity(JOB, POD, hours=2.49, efficiency=0.8).pods == 11
    one = capacity(JOB, POD, hours=1000)
    assert one.pods == 1
    assert one.hours == pytest.approx(7_200_000 / 90 / 3600)


@pytest.mark.parametrize("hours", [0.1, 1, 7, 24])
def test_the_pods_of_some_hours_keep_them(hours: float) -> None:
    found = capacity(JOB, POD, hours=hours)
    assert found.hours <= hours * (1 + 1e-9)
    if found.pods > 1:
        assert capacity(JOB, POD, pods=found.pods - 1).hours > hours


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["photos", "photo_bytes", "id_bytes"])
def test_numbers_that_are_none_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match="not more than 0"):
        capacity(replace(JOB, **{name: value}), POD, pods=1)  # type: ignore[arg-type]


def test_contradictions_are_refused() -> None:
    for pods, hours in ((None, None), (1, 1.0)):
        with pytest.raises(InputError, match="or the hours"):
            capacity(JOB, POD, pods=pods, hours=hours)
    with pytest.raises(InputError, match=r"efficiency: 1\.1"):
        capacity(JOB, POD, pods=1, efficiency=1.1)
    with pytest.raises(InputError, match=r"photos/s of a pod: 0 "):
        capacity(JOB, replace(POD, rate=0), pods=1)


def test_the_rate_is_the_best_that_was_measured(tmp_path: Path) -> None:
    rows = [("nima", 50.25), ("nima", 70.5), ("nima_tower", 300.0)]
    path = tmp_path / "perf.md"
    path.write_text(perf_table([Measurement(m, 8, 2, rate, 1.0, 2.0, ()) for m, rate in rows]))
    assert best_rate(path, "nima") == 70.5
    with pytest.raises(InputError, match="no row of the model other"):
        best_rate(path, "other")
    path.write_text("no table")
    with pytest.raises(InputError, match="iq-tools perf"):
        best_rate(path, "nima")
    with pytest.raises(InputError, match="cannot be read"):
        best_rate(tmp_path / "gone.md", "nima")


def test_the_table_says_it_in_units_for_people() -> None:
    table = markdown_table(JOB, POD, capacity(JOB, POD, pods=10, efficiency=0.8))
    assert "| a pod | 100 photos/s (4 cores: 25 a core) |" in table
    assert "| pods | 10 (cores: 40) |" in table
    assert "| read | 3.6 TB, 400 MB/s |" in table
    assert "| written | 720 MB before compression |" in table
