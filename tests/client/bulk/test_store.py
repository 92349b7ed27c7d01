"""Files that appear whole or not at all."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from iq_client.bulk.store import Folder, open_folder, url_of
from iq_client.errors import BulkError


@pytest.fixture(params=["file", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "file":
        return open_folder(str(tmp_path / "folder"))
    return open_folder(f"memory://{tmp_path.name}/folder")


def test_what_is_written_is_read_and_listed(folder: Folder) -> None:
    assert folder.names() == set()
    assert folder.read("a") is None
    folder.write("a", b"one")
    folder.write("deeper/b", b"two")
    folder.write("a", b"three")
    assert folder.read("a") == b"three"
    assert folder.names() == {"a"}
    assert open_folder(folder.url).read("deeper/b") == b"two"


def test_only_the_first_creates(folder: Folder) -> None:
    assert folder.create("a", b"one")
    assert not folder.create("a", b"two")
    assert folder.read("a") == b"one"


def test_of_many_that_create_at_once_one_succeeds(tmp_path: Path) -> None:
    folder = open_folder(str(tmp_path))
    created: list[int] = []
    start = threading.Barrier(8)

    def create(number: int) -> None:
        start.wait()
        if folder.create("a", b"%d" % number):
            created.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [b"%d" % number for number in created] == [folder.read("a")]
    assert folder.names() == {"a"}


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    folder = open_folder(str(tmp_path / "file"))
    with pytest.raises(BulkError, match=f"cannot write {tmp_path}/file/a: "):
        folder.write("a", b"one")
    with pytest.raises(BulkError, match="cannot write"):
        folder.create("a", b"one")


_LIMITED = """
import resource, sys
from iq_client.bulk.store import open_folder
folder = open_folder(sys.argv[1])
folder.write("a", b"whole")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
folder.write("a", bytes(5000))
"""


def test_a_write_that_fails_half_way_leaves_the_earlier_file(tmp_path: Path) -> None:
    # The system fails the write in its middle, as on a full disk.
    run = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert f"BulkError: cannot write {tmp_path}/a: File too large" in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"whole"


def test_an_unknown_file_system_is_named() -> None:
    with pytest.raises(BulkError, match="cannot use nonsense://a"):
        open_folder("nonsense://a")


def test_addresses_name_their_file_system(tmp_path: Path) -> None:
    local, memory = open_folder(f"file://{tmp_path}"), open_folder("memory://a/b/")
    assert local.url == str(tmp_path)
    assert url_of(memory.fs, memory.path) == "memory:///a/b"
