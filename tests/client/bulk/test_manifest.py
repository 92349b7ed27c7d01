"""The shards of a run, cut once."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.client.bulk.conftest import MakePhotos

from iq_client.bulk import manifest
from iq_client.bulk.manifest import Manifest, Shard, plan
from iq_client.bulk.store import Folder, open_folder
from iq_client.errors import BulkError


def listed(output: Folder, shard: Shard) -> list[str]:
    ids: list[str] = parquet.read_table(output.join(shard.path))["id"].to_pylist()
    return ids


def test_photos_are_cut_in_their_order(output: Folder, make_photos: MakePhotos) -> None:
    paths = make_photos(23)
    made = plan([str(paths[0].parent)], output, 10)
    assert [(shard.name, shard.rows) for shard in made.shards] == [
        ("00000", 10), ("00001", 10), ("00002", 3)
    ]  # fmt: skip
    assert made.rows == 23
    ids = [name for shard in made.shards for name in listed(output, shard)]
    assert ids == list(map(str, paths))


def test_it_is_made_once(output: Folder, make_photos: MakePhotos) -> None:
    paths = make_photos(23)
    inputs = [str(paths[0].parent)]
    first = plan(inputs, output, 10)
    paths[0].unlink()
    assert plan(inputs, output, 7) == first == manifest.load(output)


def test_another_input_is_refused(output: Folder, make_photos: MakePhotos, tmp_path: Path) -> None:
    folder = str(make_photos(3)[0].parent)
    plan([folder], output, 10)
    with pytest.raises(BulkError, match=f"the scores of {folder}, not of {folder}/00000.jpg"):
        plan([f"{folder}/00000.jpg"], output, 10)


def test_of_many_that_plan_at_once_all_get_the_same(
    output: Folder, make_photos: MakePhotos
) -> None:
    inputs = [str(make_photos(40)[0].parent)]
    start = threading.Barrier(6)
    made: list[Manifest] = []

    def make(size: int) -> None:
        start.wait()
        made.append(plan(inputs, output, size))

    threads = [threading.Thread(target=make, args=(size,)) for size in (3, 4, 5, 6, 7, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [manifest.load(output)] * 6
    assert sum(len(listed(output, shard)) for shard in made[0].shards) == 40


def test_parquet_files_keep_their_stems(output: Folder, tmp_path: Path) -> None:
    for name, rows in (("a/train.parquet", 25), ("b/train.parquet", 9), ("b/none.parquet", 0)):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table({"id": [str(row) for row in range(rows)], "uri": ["x"] * rows})
        parquet.write_table(table, path)
    made = plan([str(tmp_path / "in")], output, 10)
    assert [(shard.name, shard.start, shard.rows) for shard in made.shards] == [
        ("a--train-00000", 0, 8),
        ("a--train-00001", 8, 8),
        ("a--train-00002", 16, 9),
        ("b--none", 0, 0),
        ("b--train", 0, 9),
    ]


def test_tars_keep_their_stems(output: Folder, tmp_path: Path) -> None:
    for name in ("00000.tar", "00001.tar", "x.tar.gz"):
        (tmp_path / name).write_bytes(b"")
    made = plan([f"{tmp_path}/*.tar*"], output, 10)
    assert [shard.file for shard in made.shards] == [
        "00000.parquet", "00001.parquet", "x.parquet"
    ]  # fmt: skip
    assert made.rows is None


def test_one_file_alone_keeps_its_stem(output: Folder, tmp_path: Path) -> None:
    (tmp_path / "only.tar").write_bytes(b"")
    assert plan([f"{tmp_path}/only.tar"], output, 10).shards[0].file == "only.parquet"


def test_two_files_with_one_output_are_refused(output: Folder, tmp_path: Path) -> None:
    for name in ("x.tar", "x.tgz"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(BulkError, match="the same output"):
        plan([str(tmp_path)], output, 10)


def test_several_kinds_at_once_are_refused(output: Folder, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.tar"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(BulkError, match="photo and tar files at once"):
        plan([str(tmp_path)], output, 10)
    assert manifest.load(output) is None


def test_nothing_to_score_is_said(output: Folder, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BulkError, match="no photos, Parquet files or tars"):
        plan([str(tmp_path / "empty")], output, 10)


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}', '{"version": 99}'])
def test_a_file_that_is_no_manifest_is_named(output: Folder, text: str) -> None:
    output.write(manifest.FILE, text.encode())
    with pytest.raises(BulkError, match=r"_manifest.json is no manifest"):
        manifest.load(output)


def test_it_works_where_there_are_no_names_for_links(
    make_photos: MakePhotos, tmp_path: Path
) -> None:
    output = open_folder(f"memory://{tmp_path.name}/scores")
    made = plan([str(make_photos(5)[0].parent)], output, 2)
    assert manifest.load(output) == made
    assert json.loads(output.read(manifest.FILE) or b"")["version"] == manifest.VERSION
