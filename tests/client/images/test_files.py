"""Image files: found in folders and by patterns, and read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iq_client.errors import InputError
from iq_client.images.files import EXTENSIONS
from iq_client.images.inputs import InputOptions, expand


def error_of(item: Any, **options: Any) -> InputError:
    """The error of the only source of an input."""
    (source,) = expand(item, InputOptions(**options))
    with pytest.raises(InputError) as caught:
        source.load()
    return caught.value


@given(data=st.binary(max_size=100), zeros=st.integers(0, 20))
def test_the_bytes_of_a_file_are_sent_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, zeros: int
) -> None:
    path = tmp_path_factory.mktemp("file") / "photo"
    path.write_bytes(data + b"\0" * zeros)
    for given_path in (str(path), path):
        (source,) = expand(given_path)
        assert source.load() == data + b"\0" * zeros
        assert source.name == str(path)
        assert source.path == path


def test_a_folder_is_searched_in_order(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/1.png", "a.webp", "c.txt", ".hidden.jpg", ".git/x.jpg", "d"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.webp")
    (tmp_path / "folder.jpg").mkdir()
    found = [Path(source.name).relative_to(tmp_path).as_posix() for source in expand(tmp_path)]
    assert found == ["a.webp", "b/1.png", "b/2.JPG", "link.jpg"]
    # A file that is named itself is sent whatever it is called.
    assert [source.name for source in expand(tmp_path / "d")] == [str(tmp_path / "d")]


def test_an_empty_folder_has_no_images(tmp_path: Path) -> None:
    assert list(expand(tmp_path)) == []
    assert list(expand([])) == []


def test_globs(tmp_path: Path) -> None:
    for name in ("x/1.jpg", "x/y/2.jpg", "3.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")

    def found(pattern: str) -> list[str]:
        return [
            os.path.relpath(source.name, tmp_path) for source in expand(f"{tmp_path}/{pattern}")
        ]

    assert found("*.jpg") == ["3.jpg"]
    assert found("**/*.jpg") == ["3.jpg", "x/1.jpg", "x/y/2.jpg"]
    assert found("?") == ["x/1.jpg", "x/y/2.jpg"]
    assert error_of(f"{tmp_path}/*.png").code == "NOT_FOUND"


def test_a_file_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    path = tmp_path / "photo[1]*.jpg"
    path.write_bytes(b"1")
    (tmp_path / "photo1.jpg").write_bytes(b"2")
    (source,) = expand(str(path))
    assert source.load() == b"1"


@pytest.mark.parametrize(
    "name",
    ["-rf.jpg", "a\nb.jpg", "a\tb.jpg", " .jpg", "'\".jpg", "$(id).jpg", "ü🙂.jpg", "\udcff.jpg"],
)
def test_hostile_names(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"x")
    for items in (path, str(path), tmp_path, f"{tmp_path}/*.jpg"):
        (source,) = expand(items)
        assert source.name == str(path)
        assert source.load() == b"x"


def test_what_is_not_there(tmp_path: Path) -> None:
    assert error_of(tmp_path / "nothing.jpg").code == "NOT_FOUND"
    assert error_of("a\0b.jpg").code == "NOT_READABLE"
    assert error_of("x" * 5000).code == "NOT_READABLE"
    assert error_of("").code == "NOT_FOUND"


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert error_of(tmp_path / "pipe").code == "NOT_READABLE"
    assert error_of("/dev/zero").code == "NOT_READABLE"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "a.jpg").chmod(0)
    assert error_of(tmp_path / "a.jpg").code == "NOT_READABLE"


def test_a_file_larger_than_any_request_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large.jpg").open("wb") as file:
        file.truncate(2**31)
    assert error_of(tmp_path / "large.jpg").code == "TOO_LARGE"


def test_extensions_are_written_as_they_are_compared() -> None:
    assert all(extension == extension.lower() and extension[0] == "." for extension in EXTENSIONS)
