"""Directories of tags, whole and damaged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serving.files import dcf_exif, encoded, photo, tags

from iq_serving import ifd


def test_entries_and_their_values() -> None:
    block = ifd.Block(tags([(256, 4, 1, 330), (258, 3, 2, 0x00080007)]))
    first, second = block.entries()
    assert (first.tag, block.integers(first)) == (256, (330,))
    assert (second.tag, block.integers(second)) == (258, (7, 8))


def test_the_interoperability_index() -> None:
    assert ifd.interoperability(dcf_exif(b"R03")) == b"R03"
    assert ifd.interoperability(dcf_exif(b"R98")) == b"R98"
    assert ifd.interoperability(b"Exif\0\0" + tags([])) == b""
    assert ifd.interoperability(b"none") == b""


def test_no_photo_is_a_bomb() -> None:
    assert not ifd.is_bomb(encoded(photo(), "TIFF"))
    assert not ifd.is_bomb(dcf_exif(b"R03"))
    assert not ifd.is_bomb(b"")


def test_no_header_is_an_error() -> None:
    with pytest.raises(ValueError, match="header"):
        ifd.Block(b"II*")


@given(st.sampled_from(ifd.HEADERS), st.binary(max_size=200))
def test_any_bytes_are_read_or_passed_over(header: bytes, rest: bytes) -> None:
    data = header + rest
    ifd.interoperability(data)
    ifd.is_bomb(data)
    try:
        block = ifd.Block(data)
    except ValueError:
        return
    for entry in block.entries():
        block.integers(entry)
        assert len(block.bytes_of(entry)) <= 64
