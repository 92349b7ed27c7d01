"""Pictures of every mode and colour as the server sees them, for gallery, groups and reasons."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.serving.files import (
    avif,
    chunk,
    dcf_exif,
    encoded,
    muted,
    photo,
    png,
    profile,
    tiff,
    with_chunks,
)

from iq_client._iq_serving.contract import Limits
from iq_client.errors import InputError
from iq_client.gallery.thumbnails import MOST_BYTES, thumbnail
from iq_client.groups import UNKNOWN, fingerprint
from iq_client.images.encode import encode_image, shrink
from iq_client.images.picture import opened, shown
from iq_serving.preprocessing import load_pixels

WIDTH, HEIGHT = 96, 64


def grey(seed: int) -> np.ndarray[Any, Any]:
    return np.asarray(photo(WIDTH, HEIGHT, seed).convert("L"), np.int64)


def sixteen(seed: int) -> bytes:
    return png(grey(seed) * 257, 16, 0)


def transparent(seed: int) -> bytes:
    return png(grey(seed) * 257, 16, 0, chunk(b"tRNS", b"\x12\x34"))


def white_is_zero(seed: int) -> bytes:
    strip = (65_535 - grey(seed) * 257).astype("<u2").tobytes()
    return tiff(strip, (WIDTH, HEIGHT), bits=16, photometric=0)


def greymap(seed: int) -> bytes:
    header = b"P5\n%d %d\n65535\n" % (WIDTH, HEIGHT)
    return header + (grey(seed) * 257).astype(">u2").tobytes()


KINDS = [sixteen, transparent, white_is_zero, greymap]


@pytest.mark.parametrize("make", KINDS)
def test_unusual_modes_are_shown_as_they_look(make: Any) -> None:
    found = np.asarray(shown(opened(make(1)), WIDTH).convert("L"), np.int64)
    assert np.ptp(grey(1)) > 100
    assert np.abs(found - grey(1)).max() <= 1


@pytest.mark.parametrize("make", KINDS)
def test_different_pictures_of_unusual_modes_are_in_different_groups(make: Any) -> None:
    one, same, other = (fingerprint(make(seed)).hash for seed in (1, 1, 2))
    assert one is not None and other is not None
    assert one == same
    assert (one ^ other).bit_count() > 8
    plain = fingerprint(encoded(Image.fromarray(grey(1).astype(np.uint8)))).hash
    assert plain is not None
    assert (one ^ plain).bit_count() <= 4


def test_what_is_not_served_is_not_shown() -> None:
    floats = Image.fromarray(grey(1).astype(np.float32))
    with pytest.raises(ValueError, match="UNSUPPORTED"):
        opened(encoded(floats, "TIFF"))
    assert fingerprint(encoded(floats, "TIFF")) == UNKNOWN
    signed = Image.open(io.BytesIO(encoded(Image.fromarray(grey(1).astype(np.int32)), "TIFF")))
    with pytest.raises(InputError) as caught:
        encode_image(signed)
    assert caught.value.code == "UNSUPPORTED"


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16"])
def test_pictures_of_every_depth_are_turned(mode: str) -> None:
    upright = photo(WIDTH, HEIGHT, 1).convert("L")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(upright.rotate(90, expand=True)).astype(np.uint16) * 257)
    else:
        image = upright.rotate(90, expand=True).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    found = shown(opened(encoded(image, exif=exif)), WIDTH)
    assert found.size == (WIDTH, HEIGHT)
    assert np.abs(np.asarray(found.convert("L"), np.int64) - grey(1)).max() <= 1


def test_pictures_up_to_the_servers_limit_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(photo(WIDTH, HEIGHT, 1))
    known = fingerprint(data)
    assert known.hash is not None
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", WIDTH * HEIGHT // 3)  # Pillow's raises at twice
    monkeypatch.setattr("iq_client.images.picture._LARGE", WIDTH * HEIGHT // 3)
    assert fingerprint(data) == known
    monkeypatch.setattr("iq_client.images.picture._LIMITS", Limits(max_pixels=WIDTH * HEIGHT - 1))
    assert fingerprint(data) == UNKNOWN


PLAIN = encoded(muted())
STATED = {
    "ICC": encoded(muted(), icc_profile=profile("sRGB", curve=1.0)),
    "cICP": with_chunks(PLAIN, chunk(b"cICP", bytes([12, 13, 0, 1]))),
    "gAMA": with_chunks(PLAIN, chunk(b"gAMA", (100_000).to_bytes(4, "big"))),
    "R03": encoded(muted(), "JPEG", quality=95, subsampling=0, exif=dcf_exif(b"R03")),
    "nclx": avif(9, 16),
}


@pytest.mark.parametrize("stated", STATED)
def test_colours_are_shown_as_they_are_scored(stated: str) -> None:
    data = STATED[stated]
    width, height = muted().size
    side = width // 2
    wanted = load_pixels(data, image_size=(height // 2, side)).astype(np.int64)
    plain = load_pixels(PLAIN, image_size=(height // 2, side)).astype(np.int64)
    assert np.abs(wanted - plain).mean() > 1
    found = np.asarray(shown(opened(data), side), np.int64)
    assert np.abs(found - wanted).max() <= 2
    page = thumbnail(opened(data), MOST_BYTES).data_uri.partition(",")[2]
    with Image.open(io.BytesIO(base64.b64decode(page))) as image:
        small = np.asarray(image.convert("RGB").resize((side, height // 2)), np.int64)
    assert np.abs(small - wanted).mean() < 0.5 * np.abs(plain - wanted).mean()


def test_a_photo_that_lacks_only_its_end_is_shown() -> None:
    whole = encoded(photo(), "JPEG", quality=95)
    found, wanted = (np.asarray(shown(opened(data), 300)) for data in (whole[:-2], whole))
    np.testing.assert_array_equal(found, wanted)
    with pytest.raises(OSError, match="truncated"):
        shown(opened(whole[: len(whole) // 2]), 300)


def scored(data: bytes) -> np.ndarray[Any, Any]:
    return load_pixels(data, image_size=(HEIGHT, WIDTH)).astype(np.int64)


@pytest.mark.parametrize(
    "data",
    [
        sixteen(1),
        transparent(1),
        white_is_zero(1),
        greymap(1),
        with_chunks(encoded(muted()), chunk(b"gAMA", (100_000).to_bytes(4, "big"))),
        with_chunks(encoded(muted()), chunk(b"tRNS", bytes(6))),
        encoded(muted(), icc_profile=profile("sRGB", curve=1.0)),
        encoded(muted(), "JPEG", exif=dcf_exif(b"R03")),
    ],
    ids=["16", "16 transparent", "white is zero", "PGM", "gamma", "transparent", "ICC", "R03"],
)
@pytest.mark.parametrize("encoding", ["webp", "png", "tiff"])
def test_a_pil_image_is_scored_as_its_file(data: bytes, encoding: Any) -> None:
    found = scored(encode_image(opened(data), encoding))
    # A file may be decoded at a reduced scale, which a PIL image no longer can.
    assert np.abs(found - scored(data)).max() <= 4


def test_a_smaller_copy_keeps_the_colours() -> None:
    data = encoded(muted().resize((990, 660)), "JPEG", quality=95, exif=dcf_exif(b"R03"))
    plain = encoded(muted().resize((990, 660)), "JPEG", quality=95)
    small = shrink(data, 500)
    assert len(small) < len(data)
    assert np.abs(scored(small) - scored(data)).mean() < 1
    assert np.abs(scored(data) - scored(plain)).mean() > 1.5


def test_colours_whose_means_are_others_are_not_reduced() -> None:
    large = muted().resize((990, 660))
    linear = encoded(large, "JPEG", quality=95, icc_profile=profile("any", curve=1.0))
    assert shrink(linear, 500) == linear
    assert len(shrink(encoded(large, "JPEG", quality=95, icc_profile=profile("any")), 500)) < len(
        linear
    )
