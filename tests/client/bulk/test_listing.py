"""Inputs of a bulk run, looked up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from iq_client.bulk.listing import Found, find
from iq_client.bulk.store import open_folder
from iq_client.errors import BulkError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a/2.PNG", "a/1.jpeg", "c/3.webp", ".hidden.jpg", ".d/4.jpg", "n.csv"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "tree" / "c" / "loop").symlink_to(tmp_path / "tree")
    return tmp_path / "tree"


def names(tree: Path, found: list[Found]) -> list[str]:
    assert all(each.id == each.uri for each in found)
    return [str(Path(each.uri).relative_to(tree)) for each in found]


def test_a_folder_is_searched_in_the_order_of_its_names(tree: Path) -> None:
    found = list(find([str(tree)]))
    assert names(tree, found) == ["a/1.jpeg", "a/2.PNG", "b.jpg", "c/3.webp"]
    assert {each.kind for each in found} == {"photo"}


def test_a_folder_elsewhere_is_searched_alike(tmp_path: Path) -> None:
    store = open_folder(f"memory://{tmp_path.name}/photos")
    for name in ("b.jpg", "a/2.png", ".c.jpg", "a/1.jpg", "n.csv"):
        store.write(name, b"x")
    assert [each.uri for each in find([store.url])] == [
        f"{store.url}/{name}" for name in ("a/1.jpg", "a/2.png", "b.jpg")
    ]


def test_patterns_and_files(tree: Path) -> None:
    assert names(tree, list(find([f"{tree}/a/*.jpeg", f"{tree}/n.csv"]))) == ["a/1.jpeg", "n.csv"]
    assert names(tree, list(find([f"{tree}/a*"]))) == ["a/1.jpeg", "a/2.PNG"]
    every = names(tree, list(find([f"{tree}/a/**"])))
    assert every == ["a/1.jpeg", "a/2.PNG"]


def test_relative_paths_become_absolute(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert [each.uri for each in find(["b.jpg", "c"])] == [f"{tree}/b.jpg", f"{tree}/c/3.webp"]


def test_a_list_keeps_its_lines_as_ids(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    strange = os.fsdecode(b"latin-\xe9.jpg")
    lines = ["b.jpg", "", "s3://bucket/x y.jpg", "gone.jpg", strange]
    (tree / "list.txt").write_bytes(b"\r\n".join(map(os.fsencode, lines)))
    assert [(each.id, each.uri) for each in find(["list.txt"])] == [
        ("b.jpg", f"{tree}/b.jpg"),
        ("s3://bucket/x y.jpg", "s3://bucket/x y.jpg"),
        ("gone.jpg", f"{tree}/gone.jpg"),
        (strange, f"{tree}/{strange}"),
    ]


def test_kinds_by_ending(tmp_path: Path) -> None:
    for name in ("0.tar", "1.tar.gz", "2.tgz", "3.parquet", "4.jpg"):
        (tmp_path / name).write_bytes(b"")
    kinds = [each.kind for each in find([str(tmp_path)])]
    assert kinds == ["tar", "tar", "tar", "parquet", "photo"]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BulkError, match=r"nothing at .*/gone"):
        list(find([f"{tmp_path}/gone"]))
    with pytest.raises(BulkError, match=r"no file matches .*gone"):
        list(find([f"{tmp_path}/gone*.jpg"]))


def test_addresses_of_the_web_are_taken_as_they_are() -> None:
    (found,) = find(["https://example.com/a.jpg"])
    assert (found.uri, found.kind) == ("https://example.com/a.jpg", "photo")
