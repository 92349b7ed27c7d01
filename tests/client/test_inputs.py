"""Whatever callers have at hand becomes one source per image, in order."""

from __future__ import annotations

import http.server
import io
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from iq_client.errors import InputError
from iq_client.inputs import EXTENSIONS, InputOptions, encode_image, expand
from iq_serving.preprocessing import load_pixels, to_pixels


def error_of(item: Any, **options: Any) -> InputError:
    """The error of the only source of an input."""
    (source,) = expand(item, InputOptions(**options))
    with pytest.raises(InputError) as caught:
        source.load()
    return caught.value


@given(st.binary())
def test_bytes_are_sent_as_they_are(data: bytes) -> None:
    items: list[Any] = [data, bytearray(data), memoryview(data), io.BytesIO(data)]
    assert [source.load() for source in expand(items)] == [data] * 4
    assert [source.load() for source in expand(data)] == [data]


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


def test_names(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (2, 2)).save(path)
    with path.open("rb") as file, Image.open(path) as image:
        items: list[Any] = [b"1", file, image, np.zeros((1, 1, 3), np.uint8), str(path)]
        names = [source.name for source in expand(items)]
    assert names == ["image[0]", str(path), str(path), "image[3]", str(path)]


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


class Broken(io.RawIOBase):
    def read(self, size: int = -1) -> bytes:
        raise OSError("disk on fire")


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (5, "BAD_INPUT"),
        (None, "BAD_INPUT"),
        ([b"nested"], "BAD_INPUT"),
        (np.zeros((2, 2), np.uint8), "BAD_INPUT"),
        (np.zeros((2, 2, 4), np.uint8), "BAD_INPUT"),
        (np.zeros((0, 2, 3), np.uint8), "BAD_INPUT"),
        (np.zeros((2, 2, 3), np.float32), "BAD_INPUT"),
        (io.StringIO("text"), "BAD_INPUT"),
        (Broken(), "NOT_READABLE"),
        (Image.new("F", (2, 2)), "BAD_INPUT"),
    ],
)
def test_what_is_no_image_does_not_stop_the_others(item: Any, code: str) -> None:
    first, second, third = expand([b"1", item, b"3"])
    assert (first.load(), third.load()) == (b"1", b"3")
    with pytest.raises(InputError) as caught:
        second.load()
    assert caught.value.code == code


def test_what_is_nothing_at_all() -> None:
    with pytest.raises(InputError, match="int"):
        list(expand(5))  # type: ignore[arg-type]


def test_an_iterable_is_read_as_far_as_needed() -> None:
    counter = itertools.count()
    sources = expand(str(number).encode() for number in counter)
    assert [source.load() for source in itertools.islice(sources, 3)] == [b"0", b"1", b"2"]
    assert next(counter) == 3


def test_a_stack_of_arrays_is_its_images() -> None:
    assert len(list(expand(np.zeros((3, 4, 5, 3), np.uint8)))) == 3


def gradient(mode: str) -> Image.Image:
    ramp = np.add.outer(np.arange(40), np.arange(60) * 2).astype(np.uint8)
    picture = Image.fromarray(np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=-1))
    if mode == "I;16":
        return Image.fromarray(ramp.astype(np.uint16) * 256)
    if mode in ("RGBA", "LA"):
        picture.putalpha(Image.fromarray(ramp))
    return picture.convert(mode)


@pytest.mark.parametrize("encoding", ["webp", "png", "tiff"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_pil_images_lose_nothing(mode: str, encoding: Any, orientation: int) -> None:
    picture = gradient(mode)
    if orientation != 1:
        picture.getexif()[0x0112] = orientation
    sent = load_pixels(encode_image(picture, encoding), image_size=(24, 32))
    np.testing.assert_array_equal(sent, to_pixels(picture, image_size=(24, 32)))


@pytest.mark.parametrize("encoding", ["webp", "png", "tiff"])
def test_arrays_lose_nothing(encoding: Any) -> None:
    array = np.random.default_rng(0).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    for given_array in (array, array[::-1, ::-1], np.asfortranarray(array)):
        (source,) = expand(given_array, InputOptions(array_encoding=encoding))
        np.testing.assert_array_equal(
            np.asarray(Image.open(io.BytesIO(source.load()))), given_array
        )


def test_a_picture_too_large_for_webp() -> None:
    assert Image.open(io.BytesIO(encode_image(Image.new("RGB", (17000, 1))))).size == (17000, 1)


def test_the_profile_travels_and_the_other_metadata_does_not() -> None:
    from PIL import ImageCms

    picture = gradient("RGB")
    picture.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture.getexif()[0x010E] = "a secret"
    picture.getexif()[0x0112] = 3
    data = encode_image(picture)
    sent = Image.open(io.BytesIO(data))
    assert sent.info["icc_profile"] == picture.info["icc_profile"]
    assert sent.getexif()[0x0112] == 3
    assert b"secret" not in data


def test_extensions_are_written_as_they_are_compared() -> None:
    assert all(extension == extension.lower() and extension[0] == "." for extension in EXTENSIONS)


class Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/photo.jpg")
            self.end_headers()
        elif self.path == "/to-file":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
        elif self.path == "/cut-off":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x")
        elif self.path in ("/photo.jpg", "/endless"):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"photo" if self.path == "/photo.jpg" else b"x" * 5000)
        else:
            self.send_error(404)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_urls(site: str) -> None:
    options = InputOptions(allow_urls=True, max_url_bytes=1000)
    for page in ("photo.jpg", "moved"):
        (source,) = expand(f"{site}/{page}", options)
        assert source.load() == b"photo"
        assert source.name == f"{site}/{page}"


@pytest.mark.parametrize(
    ("page", "code"),
    [
        ("nothing", "NOT_FOUND"),
        ("endless", "TOO_LARGE"),
        ("to-file", "NOT_READABLE"),
        ("cut-off", "NOT_READABLE"),
    ],
)
def test_urls_that_bring_nothing(site: str, page: str, code: str) -> None:
    assert error_of(f"{site}/{page}", allow_urls=True, max_url_bytes=1000).code == code


def test_urls_are_off_by_themselves(site: str) -> None:
    assert error_of(f"{site}/photo.jpg").code == "URL_NOT_ALLOWED"
    assert error_of("file:///etc/passwd", allow_urls=True).code == "NOT_FOUND"
    assert error_of("http://", allow_urls=True).code == "NOT_READABLE"
    assert error_of("http://127.0.0.1:9/x.jpg", allow_urls=True).code == "NOT_READABLE"
