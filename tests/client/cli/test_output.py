"""Results in every format, to files and pipes."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import struct
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.client.cli.conftest import COMMAND, Run, environment
from tests.client.conftest import full_disk
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


@pytest.mark.parametrize("ending", ["json", "jsonl", "csv", "parquet"])
def test_a_full_disk_costs_no_earlier_output(
    run: Run, photos: Path, tmp_path: Path, ending: str
) -> None:
    out = tmp_path / "out" / f"scores.{ending}"
    out.parent.mkdir()
    out.write_text("before")
    with full_disk(100):
        failed = run("score", photos, "-o", out, code=1)
    assert str(out) in failed.stderr
    assert out.read_text() == "before"
    assert list(out.parent.iterdir()) == [out]


def test_a_full_disk_behind_stdout_is_one_line(stub_server: LocalServer, photos: Path) -> None:
    for file_format in ("table", "jsonl"):
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(
                [*COMMAND, "score", photos, "--format", file_format, "--url", stub_server.url],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert (done.returncode, done.stderr) == (1, "Error: No space left on device\n")


def test_a_terminal_without_the_characters(
    stub_server: LocalServer, photos: Path, tmp_path: Path
) -> None:
    (photos / "\u732b.jpg").write_bytes(b"a cat")
    page, best = tmp_path / "a.html", tmp_path / "best"
    command = ["rank", str(photos), "--html", str(page), "--top", "20", "--copy-best", str(best)]
    done = subprocess.run(
        [*COMMAND, *command, "--url", stub_server.url],
        capture_output=True,
        env=environment(PYTHONIOENCODING="latin-1"),
        check=True,
    )
    assert b"?.jpg" in done.stdout
    assert page.is_file()
    assert len(list(best.iterdir())) == 13


@pytest.mark.parametrize("file_format", ["table", "json", "jsonl", "csv"])
def test_nothing_that_a_terminal_acts_on(
    faulty: FaultyServer, photos: Path, file_format: str
) -> None:
    (photos / "\x1b[31m\x9b2J\u202e.jpg").write_bytes(b"x")
    error = "\x1b]0;owned\x07\x9b: \x1b[2J".encode()
    text_of_one = struct.pack("<I", len(error)) + error

    def hostile(response: Any) -> None:
        response.raw_output_contents[3] = text_of_one * response.outputs[3].shape[0]

    faulty.fault = lambda number, request, context: hostile
    master, slave = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "score", photos, "--format", file_format, "--url", faulty.url],
        stdout=slave,
        stderr=subprocess.DEVNULL,
        env=environment(TERM="dumb", NO_COLOR="1", COLUMNS="1000"),
    ):
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # how the end of a terminal looks
            while data := os.read(master, 65536):
                shown += data
    os.close(master)
    text = shown.decode()
    assert "[31m" in text
    assert {character for character in text if not character.isprintable()} <= set("\r\n")
