"""The photos of a shard, streamed."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from iq_client.bulk.manifest import Shard
from iq_client.bulk.read import read_sources, source_of
from iq_client.bulk.store import Folder, open_folder
from iq_client.errors import InputError, ShardError
from iq_client.images.inputs import InputOptions

OPTIONS = InputOptions()


def read(shard: Shard, output: Folder, only: set[int] | None = None) -> dict[str, bytes]:
    return {each.name: each.load() for each in read_sources(shard, output, OPTIONS, only)}


def failure(source_uri: str | None) -> str:
    with pytest.raises(InputError) as caught:
        source_of("a", source_uri, OPTIONS).load()
    return caught.value.code


@pytest.mark.parametrize("start", [0, 1, 9, 10, 11, 25])
@pytest.mark.parametrize("rows", [0, 1, 13, None])
def test_any_part_of_a_parquet_file(
    output: Folder, tmp_path: Path, start: int, rows: int | None
) -> None:
    path = tmp_path / "in.parquet"
    content = {str(number): b"%d" % number for number in range(25)}
    table = pa.table({"x": [0] * 25, "bytes": list(content.values()), "id": list(content)})
    parquet.write_table(table, path, row_group_size=10)
    expected = dict(list(content.items())[start : None if rows is None else start + rows])
    assert read(Shard("in", "parquet", str(path), start, rows), output) == expected


def test_only_some_of_it(output: Folder, tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    table = pa.table({"id": list(range(25)), "bytes": [b"%d" % number for number in range(25)]})
    parquet.write_table(table, path, row_group_size=10)
    shard = Shard("in", "parquet", str(path), 5, 15)
    assert read(shard, output, {0, 7, 14}) == {"5": b"5", "12": b"12", "19": b"19"}


def test_rows_without_a_photo_fail_by_themselves(output: Folder, tmp_path: Path) -> None:
    for content in ("bytes", "uri"):
        path = tmp_path / f"{content}.parquet"
        parquet.write_table(pa.table({"id": ["a"], content: pa.array([None], pa.binary())}), path)
        (source,) = read_sources(Shard("in", "parquet", str(path)), output, OPTIONS)
        with pytest.raises(InputError, match="BAD_INPUT"):
            source.load()


def test_a_parquet_file_of_something_else_is_named(output: Folder, tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    parquet.write_table(pa.table({"id": [1], "name": ["x"]}), path)
    with pytest.raises(ShardError, match=r"in.parquet.*columns id, name; .id. and .bytes. or"):
        read(Shard("in", "parquet", str(path)), output)
    path.write_bytes(b"nonsense")
    with pytest.raises(ShardError, match=r"cannot read .*in.parquet"):
        read(Shard("in", "parquet", str(path)), output)


def test_addresses(tmp_path: Path) -> None:
    (tmp_path / "a b.jpg").write_bytes(b"here")
    store = open_folder(f"memory://{tmp_path.name}")
    store.write("a.jpg", b"there")
    for uri, content in (
        (f"{tmp_path}/a b.jpg", b"here"),
        (f"file://{tmp_path}/a b.jpg", b"here"),
        (f"{store.url}/a.jpg", b"there"),
    ):
        source = source_of("name", uri, OPTIONS)
        assert (source.name, source.load()) == ("name", content)


def test_addresses_without_a_photo(tmp_path: Path) -> None:
    assert failure(None) == "BAD_INPUT"
    assert failure(f"{tmp_path}/gone.jpg") == "NOT_FOUND"
    assert failure(f"memory://{tmp_path.name}/gone.jpg") == "NOT_FOUND"
    assert failure(str(tmp_path)) == "NOT_READABLE"
    assert failure("nonsense://a/b.jpg") == "NOT_READABLE"
    assert failure("https://example.com/a.jpg") == "URL_NOT_ALLOWED"


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> None:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        archive.addfile(_folder("deeper"))
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _folder(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = tarfile.DIRTYPE
    return member


MEMBERS = {
    "0001.jpg": b"one",
    "0001.json": b"{}",
    "deeper/0002.PNG": b"two" * 1000,
    "._0003.jpg": b"not a photo",
    "0004.left.webp": b"",
}


@pytest.mark.parametrize(("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz")])
def test_a_tar(output: Folder, tmp_path: Path, name: str, mode: str) -> None:
    make_tar(tmp_path / name, MEMBERS, mode)
    shard = Shard("a", "tar", str(tmp_path / name))
    photos = {"0001": b"one", "deeper/0002": b"two" * 1000, "0004.left": b""}
    assert read(shard, output) == photos
    assert read(shard, output, {1}) == {"deeper/0002": b"two" * 1000}


def test_a_tar_that_ends_early_anywhere_is_an_error(output: Folder, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    make_tar(path, MEMBERS)
    whole = path.read_bytes()
    mark = len(whole.rstrip(b"\0"))  # of the last header; the end mark begins in the next block
    for length in [*range(0, mark, 512), *range(100, mark, 512)]:
        path.write_bytes(whole[:length])
        with pytest.raises(ShardError, match="cannot read"):
            read(Shard("a", "tar", str(path)), output)


def test_a_tar_with_a_damaged_header_is_an_error(output: Folder, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    make_tar(path, MEMBERS)
    whole = bytearray(path.read_bytes())
    place = whole.index(b"deeper/0002")
    whole[place : place + 6] = b"broken"
    path.write_bytes(whole)
    with pytest.raises(ShardError, match="ends early or is damaged"):
        read(Shard("a", "tar", str(path)), output)


def test_a_shard_that_is_not_there_is_an_error(output: Folder, tmp_path: Path) -> None:
    for kind, path in (("tar", f"{tmp_path}/gone.tar"), ("listing", "_listing/gone.parquet")):
        with pytest.raises(ShardError, match="gone"):
            read(Shard("a", kind, path), output)  # type: ignore[arg-type]
