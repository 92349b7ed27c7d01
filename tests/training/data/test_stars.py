"""Ratings from sidecars and from the photos' own packets."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from siamese_nima.data import DataConfig, inspect
from siamese_nima.data.stars import read_rating, read_stars

XMP_TAG = 700
ATTRIBUTE = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="{}"/>'
    "</rdf:RDF></x:xmpmeta>"
)
ELEMENT = ATTRIBUTE.replace(' xmp:Rating="{}"/>', "><xmp:Rating>{}</xmp:Rating></rdf:Description>")


def photo(path: Path, packet: str = "") -> Path:
    rng = np.random.default_rng(len(path.name))
    picture = Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8))
    options: dict[str, Any] = {"xmp": packet.encode()} if packet else {}
    if packet and path.suffix == ".tif":
        options = {"tiffinfo": {XMP_TAG: packet.encode()}}
    picture.save(path, **options)
    if packet and path.suffix == ".png":
        put_behind_the_pixels(path, packet.encode())
    return path


def put_behind_the_pixels(path: Path, packet: bytes) -> None:
    """Adds a chunk iTXt just before the end, where programs write that add to a finished file."""
    content = b"iTXtXML:com.adobe.xmp" + bytes(5) + packet
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    data = path.read_bytes()
    path.write_bytes(data[:-12] + chunk + data[-12:])


@pytest.mark.parametrize("template", [ATTRIBUTE, ELEMENT])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_the_packet_of_a_photo(tmp_path: Path, suffix: str, template: str) -> None:
    assert read_rating(photo(tmp_path / f"a.{suffix}", template.format(4))) == 4


@pytest.mark.parametrize("name", ["a.jpg.xmp", "a.xmp"])
def test_a_sidecar_goes_before_the_packet(tmp_path: Path, name: str) -> None:
    path = photo(tmp_path / "a.jpg", ATTRIBUTE.format(2))
    (tmp_path / name).write_text(f"<?xpacket begin=''?>\n{ELEMENT.format(5)}\n<?xpacket end='w'?>")
    assert read_rating(path) == 5


def test_photos_without_a_rating_are_left_out_and_broken_ratings_named(tmp_path: Path) -> None:
    for name, rating in (("kept.jpg", "3"), ("reject.jpg", "-1"), ("unrated.jpg", "0")):
        photo(tmp_path / name, ATTRIBUTE.format(rating))
    photo(tmp_path / "plain.jpg")
    photo(tmp_path / "many.jpg", ATTRIBUTE.format("17"))
    photo(tmp_path / "torn.jpg")
    (tmp_path / "torn.xmp").write_text("<x:xmpmeta")
    samples, problems = read_stars(tmp_path)
    assert {sample.path.name: sample.score for sample in samples} == {
        "kept.jpg": 3, "reject.jpg": -1,
    }  # fmt: skip
    found = {Path(problem.where).name: problem.text for problem in problems}
    assert found.keys() == {"many.jpg", "torn.jpg"}
    assert "'17'" in found["many.jpg"]
    assert "no XML" in found["torn.jpg"]


def test_entities_are_not_expanded_without_bound(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg")
    entities = "".join(
        f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' if n else '<!ENTITY e0 "stars">' for n in range(10)
    )
    (tmp_path / "a.xmp").write_text(f"<!DOCTYPE x [{entities}]>{ELEMENT.format('&e9;')}")
    with pytest.raises(ValueError, match=r"a\.xmp"):
        read_rating(path)


def test_stars_are_a_set_that_can_be_learnt_from(tmp_path: Path) -> None:
    for index, rating in enumerate((1, 5, 3)):
        photo(tmp_path / f"{'x' * index}p.jpg", ATTRIBUTE.format(rating))
    inspection = inspect(DataConfig("stars", tmp_path))
    assert [sample.score for sample in inspection.samples] == [1, 5, 3]
    assert all(sample.digest for sample in inspection.samples)
