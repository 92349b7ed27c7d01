"""Image files: found in folders and by patterns, and read."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from iq_client.errors import InputError
from iq_client.images.inputs import InputOptions, expand
from iq_client.images.kinds import needs_decoder


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
    assume(needs_decoder(data + b"\0" * zeros) is None)
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


def left_out(folder: Path | str) -> dict[str, int]:
    """Counts of what is left out of a folder."""
    counts: Counter[str] = Counter()
    list(expand(folder, InputOptions(on_left_out=lambda kind: counts.update([kind]))))
    return counts


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def found_in(folder: Path, pattern: str = "") -> list[str]:
    path = f"{folder}/{pattern}" if pattern else folder
    return [os.path.relpath(source.name, folder) for source in expand(path)]


def test_what_is_not_scored_is_counted(tmp_path: Path) -> None:
    write(
        tmp_path, "a.jpg", "IMG_1.HEIC", "b.CR3", "c.mov", "d.MP4", "a.xmp", "notes.txt", ".x.jpg",
        "@eaDir/a.jpg/thumb.jpg", "#recycle/b.jpg", "$RECYCLE.BIN/c.jpg", "y/__MACOSX/d.jpg",
    )  # fmt: skip
    (tmp_path / "loop").symlink_to(tmp_path)
    assert found_in(tmp_path) == ["IMG_1.HEIC", "a.jpg", "b.CR3"]
    assert left_out(tmp_path) == {
        "video": 2, "sidecar": 1, "other file": 1, "hidden photo": 1, "system folder": 4,
        "linked folder": 1,
    }  # fmt: skip
    assert found_in(tmp_path, "**/*.jpg") == ["a.jpg"]


def test_a_system_folder_that_is_named_is_searched(tmp_path: Path) -> None:
    write(tmp_path, "@eaDir/a.jpg")
    assert found_in(tmp_path / "@eaDir") == ["a.jpg"]


def test_raw_jpeg_and_heic_of_one_stem_are_one_photo(tmp_path: Path) -> None:
    write(tmp_path, "a.JPG", "A.cr2", "b.heic", "b.DNG", "c.nef", "d.jpg", "d.HEIC", "e/a.cr2")
    assert found_in(tmp_path) == ["a.JPG", "b.heic", "c.nef", "d.jpg", "e/a.cr2"]
    assert left_out(tmp_path) == {"RAW or HEIC of a photo that is there": 3}


def test_linked_folders_do_not_make_photos_many(tmp_path: Path) -> None:
    write(tmp_path, "l/s/a.jpg", "l/b.jpg")
    (tmp_path / "l" / "s" / "back").symlink_to("..")
    (tmp_path / "l" / "s" / "again").symlink_to("..")
    assert found_in(tmp_path, "l/**/*.jpg") == ["l/b.jpg", "l/s/a.jpg"]
    assert found_in(tmp_path, "l/**") == ["l/b.jpg", "l/s/a.jpg"]
    assert found_in(tmp_path, "**/**/*.jpg") == ["l/b.jpg", "l/s/a.jpg"]


def test_a_pattern_in_a_folder_that_looks_like_one(tmp_path: Path) -> None:
    write(tmp_path, "y/y/e.jpg")
    assert found_in(tmp_path, "y/y/*.jpg") == ["y/y/e.jpg"]
    write(tmp_path, "Trip [2020]/a.jpg", "Trip [2020]/b.png", "Trip 2/c.jpg", "Trip 0/[d].jpg")
    assert found_in(tmp_path, "Trip [2020]/*.jpg") == ["Trip [2020]/a.jpg"]
    assert found_in(tmp_path, "Trip [0-9]/*.jpg") == ["Trip 0/[d].jpg", "Trip 2/c.jpg"]
    assert found_in(tmp_path, "Trip 0/[[]*") == ["Trip 0/[d].jpg"]


def test_a_pattern_keeps_the_form_of_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "x/a.jpg", "x/.hidden.jpg")
    monkeypatch.chdir(tmp_path)
    for pattern, name in {
        "*/*.jpg": "x/a.jpg", "./*/*.jpg": "./x/a.jpg", "x/../x/*.jpg": "x/../x/a.jpg",
        "**/*.jpg": "x/a.jpg", "x/.*.jpg": "x/.hidden.jpg",
    }.items():  # fmt: skip
        assert [source.name for source in expand(pattern)] == [name]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC; pip install 'iq-client[heif]'"),
        ("a", b"\0\0\0\x14ftypmif1\0\0\0\0heic", "HEIC; pip install 'iq-client[heif]'"),
        ("a.cr3", b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "RAW; pip install 'iq-client[raw]'"),
        ("a.nef", b"II*\0\x08\0\0\0\0\0", "RAW; pip install 'iq-client[raw]'"),
        ("a.tif", b"II*\0\x10\0\0\0CR\2\0", "RAW; pip install 'iq-client[raw]'"),
        ("a.jxl", b"\xff\x0a\xfa", "JPEG XL files are not served; convert to JPEG or PNG"),
    ],
)
def test_what_needs_a_decoder_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes, message: str
) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    monkeypatch.setitem(sys.modules, "rawpy", None)
    (tmp_path / name).write_bytes(data)
    error = error_of(tmp_path / name)
    assert (error.code, error.message) == ("UNSUPPORTED", message)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("photo.HEIC", b"\xff\xd8\xff\xe0 a JPEG"),
        ("photo.nef", b"\xff\xd8\xff\xe0 a JPEG"),
        ("a.tif", b"MM\0*\0\0\0\x08\0\1\1\0\0\4\0\0\0\1\0\0\0\1\0\0\0\0"),
        ("a.avif", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf"),
        ("a.heic", b"\0\0\0\x18ftyp"),
    ],
)
def test_the_bytes_decide_not_the_name(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    (source,) = expand(tmp_path)
    assert source.load() == data
