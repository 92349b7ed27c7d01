"""Results in every format, to files and pipes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.client.cli.conftest import COMMAND, Run
from tests.client.faulty import FaultyServer, description

from iq_client import LocalServer, TowerIdentity


@pytest.mark.parametrize("file_format", ["json", "jsonl", "csv", "parquet"])
def test_formats_by_the_ending_of_the_output(
    run: Run, photos: Path, tmp_path: Path, file_format: str
) -> None:
    out = tmp_path / f"out.{file_format}"
    assert run("rank", photos, "-o", out).stdout == ""
    if file_format == "csv":
        rows = list(csv.DictReader(io.StringIO(out.read_text(), newline="")))
    elif file_format == "parquet":
        rows = pq.read_table(out).to_pylist()
    elif file_format == "json":
        rows = json.loads(out.read_text())
    else:
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [int(row["rank"]) for row in rows] == list(range(1, 13))


def test_parquet_to_a_pipe(run: Run, photos: Path) -> None:
    data = run("score", photos, "--format", "parquet").stdout_bytes
    assert pq.read_table(io.BytesIO(data)).num_rows == 12


def test_a_reader_that_goes_away_is_no_error(stub_server: LocalServer, photos: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "score", str(photos), "--format", "jsonl", "--url", stub_server.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def test_every_format_says_whose_the_scores_are(
    run: Run, faulty: FaultyServer, photos: Path, tmp_path: Path
) -> None:
    faulty.tower = description(quantiles=[1.0, 9.0], quantiles_of="photos of a test")
    tower = TowerIdentity.parse(faulty.tower)
    rows: dict[str, list[dict[str, Any]]] = {}
    for ending in ("json", "jsonl", "csv", "parquet"):
        out = tmp_path / f"out.{ending}"
        run("rank", photos, "gone.jpg", "-o", out, "--url", faulty.url, code=1)
        if ending == "json":
            rows[ending] = json.loads(out.read_text())
        elif ending == "jsonl":
            rows[ending] = [json.loads(line) for line in out.read_text().splitlines()]
        elif ending == "csv":
            rows[ending] = list(csv.DictReader(io.StringIO(out.read_text())))
        else:
            table = pq.read_table(out)
            rows[ending] = table.to_pylist()
            assert TowerIdentity.parse(table.schema.metadata[b"tower.json"].decode()) == tower
    for found in rows.values():
        assert [row["tower"] or None for row in found] == [tower.label] * 12 + [None]
        percentiles = [float(row["percentile"]) for row in found[:12]]
        assert percentiles == [tower.percentile(float(row["mean"])) for row in found[:12]]
        assert len(set(percentiles)) > 1
        assert not found[12]["percentile"]
