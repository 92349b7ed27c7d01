"""Files and folders written in one step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from siamese_nima.files import write_atomically


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for text in ("one", "two"):
        with write_atomically(path) as partial:
            partial.write_text(text)
            assert not path.exists() or path.read_text() == "one"
        assert path.read_text() == text
    assert names(tmp_path) == {"a.txt"}


def test_a_folder_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for name in ("one", "two"):
        with write_atomically(path) as partial:
            partial.mkdir()
            (partial / name).write_text(name)
        assert names(path) == {name}
    assert names(tmp_path) == {"a"}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(type(error)), write_atomically(tmp_path / "a") as partial:
        partial.write_text("ne")
        raise error
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == {"a"}


def test_an_interrupted_folder_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(KeyboardInterrupt), write_atomically(path) as partial:
        partial.mkdir()
        (partial / "new").touch()
        raise KeyboardInterrupt
    assert names(path) == {"old"}
    assert names(tmp_path) == {"a"}


@pytest.mark.parametrize("failing", [1, 2])
def test_a_folder_that_cannot_be_exchanged_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    path = tmp_path / "a"
    path.mkdir()
    (path / "old").touch()
    rename, calls = Path.rename, 0

    def failing_rename(self: Path, to: Path) -> Path:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError(5, "Input/output error")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing_rename)
    with pytest.raises(OSError, match="Input/output"), write_atomically(path) as partial:
        partial.mkdir()
    assert names(path) == {"old"}
    assert names(tmp_path) == {"a"}


def test_what_a_killed_process_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "a.partial").mkdir()
    (tmp_path / "a.partial" / "half").touch()
    with write_atomically(tmp_path / "a") as partial:
        partial.write_text("whole")
    assert names(tmp_path) == {"a"}


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    with write_atomically(tmp_path / "link") as partial:
        partial.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


def test_a_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with write_atomically(pipe) as path:
        path.write_text("text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    assert pipe.is_fifo()


def test_a_file_does_not_replace_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError), write_atomically(tmp_path / "a") as partial:
        partial.write_text("x")
    assert names(tmp_path) == {"a"}


def test_nothing_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), write_atomically(tmp_path / "a"):
        pass
