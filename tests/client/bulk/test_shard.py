"""One shard, scored into one file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.client.bulk.conftest import MakePhotos, assert_whole, rows
from tests.client.faulty import FaultyServer, abort, description, faulty_mean, no_fault

from iq_client import Client, RetryPolicy, TowerIdentity
from iq_client.bulk import shard as shards
from iq_client.bulk.manifest import Manifest, Shard, plan
from iq_client.bulk.shard import Finished, ShardResult, read_finished, score_shard
from iq_client.bulk.store import Folder
from iq_client.errors import BulkError, DeadlineExceeded, IQClientError, ShardError
from iq_client.images.inputs import InputOptions

OPTIONS = InputOptions()


@pytest.fixture
def paths(make_photos: MakePhotos) -> list[Path]:
    return make_photos(30)


@pytest.fixture
def made(output: Folder, paths: list[Path]) -> Manifest:
    """One shard of thirty photos, the fourth of which is missing."""
    made = plan([str(paths[0].parent)], output, 100)
    paths[3].unlink()
    return made


def score(
    made: Manifest, output: Folder, client: Client, tower: TowerIdentity | None, **more: Any
) -> ShardResult:
    return score_shard(made.shards[0], output, client, tower, inputs=OPTIONS, **more)


def test_the_file_keeps_the_contract(
    made: Manifest, output: Folder, client: Client, scoring: FaultyServer, paths: list[Path]
) -> None:
    scoring.tower = description(quantiles=[1.0, 5.0, 10.0], quantiles_of="some photos")
    tower = TowerIdentity.parse(scoring.tower)
    result = score(made, output, client, tower)
    means = [faulty_mean(1 + number % 11) for number in range(30) if number != 3]
    tenths = [0] * 10
    for mean in means:
        tenths[min(int((tower.percentile(mean) or 0.0) / 10), 9)] += 1
    assert len(set(tenths)) > 3
    assert result == ShardResult("00000", 30, {"NOT_FOUND": 1}, 30, tuple(tenths))
    assert score(made, output, client, tower) == replace(result, scored=0)
    file = parquet.ParquetFile(output.join("00000.parquet"))
    assert file.schema_arrow.equals(shards.schema())
    assert TowerIdentity.parse(file.metadata.metadata[b"tower.json"].decode()) == tower
    assert json.loads(file.metadata.metadata[b"shard.json"]) == {
        "version": 1, "errors": {"NOT_FOUND": 1}, "tenths": tenths
    }  # fmt: skip
    found = rows(output, made)
    assert [row["id"] for row in found] == list(map(str, paths))
    missing = found.pop(3)
    assert missing["error_code"] == "NOT_FOUND" and missing["error_message"]
    assert [missing[name] for name in ("mean", "std", "percentile")] == [None] * 3
    assert missing["distribution"] == [None] * 10
    for row, path in zip(found, [*paths[:3], *paths[4:]], strict=True):
        assert row["mean"] == faulty_mean(path.stat().st_size)
        assert row["std"] == 1.0
        assert row["percentile"] == pytest.approx(tower.percentile(row["mean"]))
        assert row["distribution"] == pytest.approx([0.1] * 10)
        assert row["error_code"] is row["error_message"] is None


def test_a_server_without_a_name_or_quantiles(
    made: Manifest, output: Folder, client: Client, scoring: FaultyServer
) -> None:
    scoring.tower = None
    score(made, output, client, None)
    found = read_finished(output, "00000.parquet")
    assert found is not None
    assert found == Finished(None, 30, {"NOT_FOUND": 1}, ())
    assert {row["percentile"] for row in rows(output, made)} == {None}


def test_a_finished_shard_is_not_scored_again(
    made: Manifest, output: Folder, client: Client, scoring: FaultyServer, tower: TowerIdentity
) -> None:
    score(made, output, client, tower)
    requests = len(scoring.requests)
    again = score(made, output, client, tower)
    assert again == ShardResult("00000", 30, {"NOT_FOUND": 1}, 0)
    assert len(scoring.requests) == requests > 0


def test_a_finished_shard_of_another_tower_is_refused(
    made: Manifest, output: Folder, client: Client, scoring: FaultyServer, tower: TowerIdentity
) -> None:
    score(made, output, client, tower)
    before = output.read("00000.parquet")
    scoring.tower = description("other")
    other = TowerIdentity.parse(scoring.tower)
    with pytest.raises(BulkError, match=rf"tower {tower.label} .*server has .*{other.label}"):
        score(made, output, client, other)
    assert output.read("00000.parquet") == before


def test_retry_errors_sends_only_what_failed(
    made: Manifest,
    output: Folder,
    client: Client,
    scoring: FaultyServer,
    tower: TowerIdentity,
    paths: list[Path],
) -> None:
    score(made, output, client, tower)
    paths[3].write_bytes(b"x" * 7)
    paths[5].write_bytes(b"changed, and not looked at")
    requests = len(scoring.requests)
    result = score(made, output, client, tower, retry_errors=True)
    assert result == ShardResult("00000", 30, {}, 1)
    assert len(scoring.requests) == requests + 1
    paths[5].write_bytes(b"x" * 6)  # as it was when it was scored
    assert_whole(output, made, paths)
    assert score(made, output, client, tower, retry_errors=True).scored == 0


def test_retry_errors_keeps_what_fails_again(
    made: Manifest, output: Folder, client: Client, tower: TowerIdentity
) -> None:
    score(made, output, client, tower)
    before = rows(output, made)
    result = score(made, output, client, tower, retry_errors=True)
    assert result == ShardResult("00000", 30, {"NOT_FOUND": 1}, 1)
    assert rows(output, made) == before


def test_retry_errors_refuses_an_input_that_changed(
    output: Folder, client: Client, tower: TowerIdentity, tmp_path: Path
) -> None:
    path = tmp_path / "in.parquet"
    uris = [str(tmp_path / "gone.jpg")] * 3
    parquet.write_table(pa.table({"id": ["a", "b", "c"], "uri": uris}), path)
    made = plan([str(path)], output, 10)
    score(made, output, client, tower)
    parquet.write_table(pa.table({"id": ["c", "b", "a"], "uri": uris}), path)
    with pytest.raises(ShardError, match="other photos"):
        score(made, output, client, tower, retry_errors=True)


def test_a_server_of_another_tower_than_the_run_is_not_asked(
    made: Manifest, output: Folder, client: Client, scoring: FaultyServer, tower: TowerIdentity
) -> None:
    scoring.tower = description("other")
    with pytest.raises(ShardError, match=r"server has the tower other@.*run is of the tower"):
        score(made, output, client, tower)
    assert scoring.requests == [] and output.read("00000.parquet") is None


def test_a_tower_that_changes_in_the_middle_costs_the_shard(
    made: Manifest, output: Folder, scoring: FaultyServer, tower: TowerIdentity
) -> None:
    def swap(number: int, request: Any, context: Any) -> None:
        if number == 2:
            # As a rolling update does: away for a moment, then back as another one.
            scoring.tower = description("other")
            context.abort(grpc.StatusCode.UNAVAILABLE, "injected")

    scoring.fault = swap
    with (
        Client(scoring.url, batch_size=4, in_flight=1) as client,
        pytest.raises(ShardError, match="the server changed its tower"),
    ):
        score(made, output, client, tower)
    assert output.read("00000.parquet") is None


def test_photos_of_a_request_that_failed_get_one_of_their_own(
    made: Manifest, output: Folder, scoring: FaultyServer, tower: TowerIdentity, paths: list[Path]
) -> None:
    def poisoned(number: int, request: Any, context: Any) -> None:
        if b"x" * 9 in request.raw_input_contents[0]:
            context.abort(grpc.StatusCode.INTERNAL, "injected")

    paths[3].write_bytes(b"x" * 4)
    paths[8].write_bytes(b"x" * 9)
    for path in paths:
        if path != paths[8] and path.stat().st_size >= 9:
            path.write_bytes(b"x")
    scoring.fault = poisoned
    with Client(scoring.url, batch_size=10) as client:
        result = score(made, output, client, tower)
    assert result == ShardResult("00000", 30, {"INTERNAL": 1}, 30)
    codes = [row["error_code"] for row in rows(output, made)]
    assert codes == [None] * 8 + ["INTERNAL"] + [None] * 21


def test_nothing_is_written_where_the_server_stays_away(
    made: Manifest,
    output: Folder,
    scoring: FaultyServer,
    tower: TowerIdentity,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shards, "READY_SECONDS", 0.2)

    def leave(number: int, request: Any, context: Any) -> None:
        if number >= 2:
            scoring.ready_after = 10**9
            context.abort(grpc.StatusCode.UNAVAILABLE, "injected")

    scoring.fault = leave
    with Client(scoring.url, batch_size=4, retry=RetryPolicy(attempts=1)) as client:
        with pytest.raises(IQClientError, match="not ready"):
            score(made, output, client, tower)
        assert output.read("00000.parquet") is None
        scoring.fault, scoring.ready_after = no_fault, 0
        monkeypatch.undo()  # a busy machine has the usual time to answer
        assert score(made, output, client, tower).errors == {"NOT_FOUND": 1}


def test_reading_ends_where_nobody_answers_any_more(
    output: Folder,
    scoring: FaultyServer,
    tower: TowerIdentity,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shards, "_GONE", 20)
    lines = tmp_path / "list.txt"
    lines.write_text(f"{tmp_path / 'photo.jpg'}\n" * 500)
    (tmp_path / "photo.jpg").write_bytes(b"x")
    scoring.fault = abort(grpc.StatusCode.UNAVAILABLE)
    made = plan([str(lines)], output, 1000)
    retry = RetryPolicy(attempts=1)
    with (
        Client(scoring.url, batch_size=4, in_flight=1, retry=retry) as client,
        pytest.raises(ShardError, match="20 photos in a row got no answer: UNAVAILABLE"),
    ):
        score(made, output, client, tower)
    assert len(scoring.requests) < 500 / 4


def test_a_server_that_is_away_is_waited_for(
    made: Manifest, output: Folder, client: Client, scoring: FaultyServer, tower: TowerIdentity
) -> None:
    scoring.ready_after = 3
    assert score(made, output, client, tower).scored == 30
    assert scoring.asked > 3


def test_no_server_is_told(
    made: Manifest, output: Folder, tower: TowerIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "READY_SECONDS", 0.2)
    with (
        Client("127.0.0.1:1", retry=RetryPolicy(attempts=1)) as client,
        pytest.raises(DeadlineExceeded, match=r"127\.0\.0\.1:1"),
    ):
        score(made, output, client, tower)


def test_an_input_that_became_shorter_is_told(
    output: Folder, client: Client, tower: TowerIdentity, tmp_path: Path
) -> None:
    path = tmp_path / "in.parquet"
    table = pa.table({"id": ["a", "b"], "bytes": [b"1", b"22"]})
    parquet.write_table(table, path)
    made = plan([str(path)], output, 10)
    parquet.write_table(table.slice(0, 1), path)
    with pytest.raises(ShardError, match="has 1 photos, not 2 as planned"):
        score(made, output, client, tower)


def test_names_that_are_no_text_are_written_with_escapes(
    output: Folder, client: Client, tower: TowerIdentity, tmp_path: Path
) -> None:
    folder = tmp_path / "strange"
    folder.mkdir()
    (Path(str(folder) + "/latin-\udce9.jpg")).write_bytes(b"x" * 5)
    made = plan([str(folder)], output, 10)
    score(made, output, client, tower)
    (row,) = rows(output, made)
    assert row["id"] == f"{folder}/latin-\\udce9.jpg"
    assert row["mean"] == faulty_mean(5)


def test_a_file_that_is_no_shard_is_named(
    made: Manifest, output: Folder, client: Client, tower: TowerIdentity
) -> None:
    output.write("00000.parquet", b"nonsense")
    with pytest.raises(BulkError, match=r"00000.parquet is no shard of scores"):
        score(made, output, client, tower)


def test_an_empty_shard_has_an_empty_file(
    output: Folder, client: Client, tower: TowerIdentity, tmp_path: Path
) -> None:
    path = tmp_path / "none.parquet"
    parquet.write_table(pa.table({"id": pa.array([], pa.string()), "uri": []}), path)
    made = plan([str(path)], output, 10)
    assert score(made, output, client, tower).rows == 0
    assert rows(output, made) == []
    assert Shard("none", "parquet", str(path), 0, 0) == made.shards[0]
