"""Progress in numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iq_client import TowerIdentity
from iq_client.bulk.drivers import ShardFailure
from iq_client.bulk.report import Tally, write_textfile
from iq_client.bulk.shard import ShardResult
from iq_client.errors import BulkError


@pytest.fixture
def tally() -> Tally:
    tally = Tally(4)
    tally.add(ShardResult("0", 10, {"EMPTY": 1}, 10, (9, *[0] * 9)))
    tally.add(ShardResult("1", 10, {"EMPTY": 2, "NOT_FOUND": 1}, 0, (3, *[0] * 8, 4)))
    tally.add(ShardFailure("2", "its worker died"))
    return tally


def test_the_summary(tally: Tally, tower: TowerIdentity) -> None:
    summary = json.loads(tally.to_json(tower))
    assert summary.pop("seconds") >= 0
    assert summary == {
        "shards": 4,
        "done": 2,
        "rows": 20,
        "errors": {"EMPTY": 3, "NOT_FOUND": 1},
        "tenths": [12, 0, 0, 0, 0, 0, 0, 0, 0, 4],
        "failures": {"2": "its worker died"},
        "scored_now": 10,
        "tower": tower.to_dict(),
    }
    assert json.loads(tally.to_json(None))["tower"] is None


def test_the_textfile(tally: Tally, tmp_path: Path) -> None:
    path = tmp_path / "iq.prom"
    write_textfile(path, tally)
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    values = dict(line.rsplit(" ", 1) for line in lines)
    assert float(values.pop("iq_bulk_seconds")) >= 0
    assert values == {
        "iq_bulk_shards": "4",
        "iq_bulk_shards_done": "2",
        "iq_bulk_shards_failed": "1",
        "iq_bulk_photos_done": "20",
        "iq_bulk_photos_sent": "10",
        'iq_bulk_errors{code="EMPTY"}': "3",
        'iq_bulk_errors{code="NOT_FOUND"}': "1",
        'iq_bulk_tenths{tenth="1"}': "12",
        **{f'iq_bulk_tenths{{tenth="{tenth}"}}': "0" for tenth in range(2, 10)},
        'iq_bulk_tenths{tenth="10"}': "4",
    }
    with pytest.raises(BulkError, match="cannot write"):
        write_textfile(path / "x.prom", tally)
