"""Files that are replaced whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.client.conftest import full_disk

from iq_client.files import fitting, replacing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_is_the_former_one_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("before")
    path.chmod(0o640)
    with replacing(path) as stream:
        stream.write(b"after")
        stream.flush()
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert path.stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["a.csv"]


def test_a_full_disk_leaves_the_former_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("before")
    with pytest.raises(OSError, match="large"), full_disk(1000), replacing(path) as stream:
        stream.write(bytes(100_000))
    assert path.read_text() == "before"
    assert names(tmp_path) == ["a.csv"]


def test_what_was_written_stays_beside_the_former_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), replacing(path) as stream:
        stream.write(b"half")
        raise ZeroDivisionError
    assert path.read_text() == "before"
    assert (tmp_path / "a.csv.partial").read_text() == "half"
    with replacing(path) as stream:
        stream.write(b"after")
    assert path.read_text() == "after"
    assert names(tmp_path) == ["a.csv"]


def test_two_writers_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with replacing(path) as stream:
        stream.write(b"first")
        with pytest.raises(OSError, match="another process"), replacing(path):
            pass
    assert path.read_text() == "first"


def test_a_link_and_a_device_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("before")
    link = tmp_path / "link.csv"
    link.symlink_to("real.csv")
    with replacing(link) as stream:
        stream.write(b"after")
    assert link.is_symlink()
    assert (tmp_path / "real.csv").read_text() == "after"
    with replacing(Path("/dev/null")) as stream:
        stream.write(b"nothing")
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize(
    "name", ["a" * 251 + ".csv", "é" * 125 + ".csv", os.fsdecode(b"\xff" * 251) + ".csv"]
)
def test_the_longest_names(tmp_path: Path, name: str) -> None:
    with replacing(tmp_path / name) as stream:
        stream.write(b"x")
    assert names(tmp_path) == [name]
    short = fitting(name, 100)
    assert len(os.fsencode(short)) in (99, 100)
    assert short.endswith(".csv")
