"""HEIC photos, decoded in the client."""

from __future__ import annotations

import io
import statistics
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iq_client import Client, LocalServer
from iq_client._iq_serving.contract import Limits
from iq_client.errors import InputError
from iq_client.groups import fingerprint
from iq_client.images.heif import decode_heif
from iq_client.images.inputs import expand

PHOTO = Path(__file__).parent / "files" / "photo.heic"  # `heif-enc -q 80` of an example photo


def test_the_picture_and_what_belongs_to_it() -> None:
    (source,) = expand(PHOTO)
    with Image.open(io.BytesIO(source.load())) as image:
        assert (image.format, image.size) == ("JPEG", (320, 212))
        # The pixels are upright already: a reader that turned them again would be wrong.
        assert image.getexif().get(0x0112, 1) == 1
        pixels = np.asarray(image.convert("RGB"), np.float32)
    example = Path(__file__).parents[3] / "examples" / "photos" / "autumn-overcompressed.jpg"
    with Image.open(example) as image:
        same = np.asarray(image.convert("RGB").resize((320, 212)), np.float32)
    assert np.abs(pixels - same).mean() < 8 < np.abs(pixels - same[::-1]).mean()
    taken = fingerprint(source.load()).shot.taken
    assert taken is not None and taken.isoformat() == "2026-05-01T12:00:00"


def test_bytes_are_decoded_as_well() -> None:
    (source,) = expand(PHOTO.read_bytes())
    assert source.load().startswith(b"\xff\xd8")


@pytest.mark.parametrize("kept", [24, 300, 0.9])
def test_a_file_that_is_cut_off(kept: float) -> None:
    data = PHOTO.read_bytes()
    with pytest.raises(InputError) as caught:
        decode_heif(data[: int(kept if kept > 1 else kept * len(data))])
    assert caught.value.code == "UNREADABLE"


def test_too_many_pixels_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iq_client.images.heif.LIMITS", Limits(max_pixels=320 * 212 - 1))
    with pytest.raises(InputError) as caught:
        decode_heif(PHOTO.read_bytes())
    assert caught.value.code == "TOO_LARGE"


def test_a_jpeg_of_quality_95_scores_as_the_pixels_do(
    server: LocalServer, example_photos: list[Path]
) -> None:
    """Cost of sending HEIC as JPEG, on photos that were never HEIC."""
    lossless: list[Image.Image] = []
    jpegs: list[bytes] = []
    for path in example_photos:
        with Image.open(path) as photo:
            lossless.append(photo.convert("RGB"))
        buffer = io.BytesIO()
        lossless[-1].save(buffer, "JPEG", quality=95, subsampling=0)
        jpegs.append(buffer.getvalue())
    with Client(server.url) as client:
        exact = [score.mean for score in client.score_images(lossless)]
        sent = [score.mean for score in client.score_images(jpegs)]
    assert statistics.stdev(exact) > 0.2
    drift = [abs(a - b) for a, b in zip(exact, sent, strict=True)]
    assert statistics.mean(drift) < 0.02
    assert max(drift) < 0.1
