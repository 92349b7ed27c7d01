"""Whatever callers have at hand becomes one source per image, in order."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from iq_client.errors import InputError
from iq_client.images.inputs import InputOptions, expand
from iq_client.images.kinds import needs_decoder


def error_of(item: Any, **options: Any) -> InputError:
    """The error of the only source of an input."""
    (source,) = expand(item, InputOptions(**options))
    with pytest.raises(InputError) as caught:
        source.load()
    return caught.value


@given(st.binary())
def test_bytes_are_sent_as_they_are(data: bytes) -> None:
    assume(needs_decoder(data) is None)
    items: list[Any] = [data, bytearray(data), memoryview(data), io.BytesIO(data)]
    assert [source.load() for source in expand(items)] == [data] * 4
    assert [source.load() for source in expand(data)] == [data]


def test_names(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (2, 2)).save(path)
    with path.open("rb") as file, Image.open(path) as image:
        items: list[Any] = [b"1", file, image, np.zeros((1, 1, 3), np.uint8), str(path)]
        names = [source.name for source in expand(items)]
    assert names == ["image[0]", str(path), str(path), "image[3]", str(path)]


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


def test_urls_are_off_by_themselves() -> None:
    assert error_of("http://127.0.0.1:9/photo.jpg").code == "URL_NOT_ALLOWED"
    assert error_of("file:///etc/passwd", allow_urls=True).code == "NOT_FOUND"
    assert error_of("http://", allow_urls=True).code == "NOT_READABLE"
    assert error_of("http://127.0.0.1:9/x.jpg", allow_urls=True).code == "NOT_READABLE"
