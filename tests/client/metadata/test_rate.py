"""Stars in sidecars and JPEGs, read back by the programs that photographers use."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from iq_client.metadata.rate import UndoList, plan, stars_by_mean, stars_by_share, undo
from iq_client.metadata.xmp import Rating
from siamese_nima.data.stars import read_rating

RATING = Rating(4, "Green", 5.25, "tower@0123")
DARKTABLE = b"""<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <!-- kept -->
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xap="http://ns.adobe.com/xap/1.0/"
    xmlns:darktable="http://darktable.sf.net/"
    xap:Rating="1" darktable:xmp_version="5">
   <darktable:history>
    <rdf:Seq>
     <rdf:li darktable:operation="exposure" darktable:params="0000a0bf"/>
    </rdf:Seq>
   </darktable:history>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
LIGHTROOM = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/">
<crs:Exposure2012>+0.35</crs:Exposure2012></rdf:Description>
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/">
<xmp:Rating>2</xmp:Rating></rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def photo(folder: Path, name: str = "a.jpg", **options: Any) -> Path:
    path = folder / name
    Image.linear_gradient("L").convert("RGB").save(path, **options)
    return path


def rate(path: Path, undo_list: Path, rating: Rating = RATING, **options: bool) -> Path:
    change = plan(path, rating, **options)  # type: ignore[arg-type]
    UndoList(undo_list).apply(change)
    return change.path


def exiftool(path: Path) -> dict[str, str]:
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed")
    command = ["exiftool", "-s", "-XMP:all", str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {key.strip(): value.strip() for key, _, value in
            (line.partition(":") for line in out.splitlines())}  # fmt: skip


def exiv2(path: Path) -> dict[str, str]:
    if shutil.which("exiv2") is None:
        pytest.skip("exiv2 is not installed")
    command = ["exiv2", "-PXkt", str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {key: value.strip() for key, _, value in
            (line.partition(" ") for line in out.splitlines())}  # fmt: skip


@pytest.mark.parametrize("embed", [False, True])
@pytest.mark.parametrize("stars", [-1, 1, 5])
def test_the_usual_programs_read_the_stars(tmp_path: Path, embed: bool, stars: int) -> None:
    path = photo(tmp_path)
    written = rate(path, tmp_path / "undo", Rating(stars, "Red", 5.25, "tower@0123"), embed=embed)
    assert written == (path if embed else tmp_path / "a.jpg.xmp")
    assert read_rating(path) == stars
    assert exiftool(written)["Rating"] == str(stars)
    assert exiftool(written)["Label"] == "Red"
    assert exiftool(written)["Mean"] == "5.2500"
    assert exiv2(written)["Xmp.xmp.Rating"] == str(stars)
    assert exiv2(written)["Xmp.xmp.Label"] == "Red"


@pytest.mark.parametrize("sidecar", [DARKTABLE, LIGHTROOM])
@pytest.mark.parametrize("name", ["a.jpg.xmp", "a.xmp"])
def test_the_edits_in_a_sidecar_stay(tmp_path: Path, sidecar: bytes, name: str) -> None:
    path = photo(tmp_path)
    (tmp_path / name).write_bytes(sidecar)
    before = exiftool(tmp_path / name)
    assert rate(path, tmp_path / "undo") == tmp_path / name
    assert sorted(file.name for file in tmp_path.glob("*.xmp")) == [name]
    after = exiftool(tmp_path / name)
    assert before.pop("Rating") != after.pop("Rating") == "4"
    assert before and before.items() <= after.items()
    assert read_rating(path) == 4
    # Not only the values: every line but that of the rating is as it was.
    text = (tmp_path / name).read_text(encoding="utf-8")
    for line in sidecar.decode().splitlines():
        if "Rating" not in line and "<?xml" not in line and "<rdf:Description" not in line:
            assert line.strip() in text


def test_the_rest_of_a_jpeg_stays_byte_for_byte(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    path = photo(tmp_path, exif=exif, comment=b"a comment")
    original = path.read_bytes()
    rate(path, tmp_path / "undo", embed=True)
    first = path.read_bytes()
    assert len(first) > len(original)
    # What was put in is one piece: around it everything is as it was.
    prefix = next(i for i, (a, b) in enumerate(zip(original, first, strict=False)) if a != b)
    assert original[prefix:] == first[len(first) - (len(original) - prefix) :]
    rate(path, tmp_path / "undo", Rating(2, mean=3.5), embed=True)
    assert read_rating(path) == 2
    assert path.read_bytes().count(b"http://ns.adobe.com/xap/1.0/\0") == 1
    assert path.read_bytes().endswith(original[prefix:])
    assert [file for file, _ in undo(tmp_path / "undo")] == [path, path]
    assert path.read_bytes() == original


@pytest.mark.parametrize("embed", [False, True])
def test_undo_gives_back_what_was_there(tmp_path: Path, embed: bool) -> None:
    one, two = photo(tmp_path, "1.jpg"), photo(tmp_path, "2.jpg", xmp=LIGHTROOM)
    (tmp_path / "2.xmp").write_bytes(DARKTABLE)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for path in (one, two):
        rate(path, tmp_path / "undo", embed=embed)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("[12]*")} != before
    assert all(changed for _, changed in undo(tmp_path / "undo"))
    assert {path.name: path.read_bytes() for path in tmp_path.glob("[12]*")} == before


def test_undo_after_stars_given_twice_undone_and_given_again(tmp_path: Path) -> None:
    path = photo(tmp_path)
    for stars in (3, 4):
        rate(path, tmp_path / "undo", Rating(stars))
    assert all(undone for _, undone in undo(tmp_path / "undo"))
    rate(path, tmp_path / "undo", Rating(5))
    assert all(undone for _, undone in undo(tmp_path / "undo"))
    assert not (tmp_path / "a.jpg.xmp").exists()


def test_undo_leaves_what_was_changed_since(tmp_path: Path) -> None:
    path = photo(tmp_path)
    sidecar = rate(path, tmp_path / "undo")
    sidecar.write_bytes(DARKTABLE)
    assert list(undo(tmp_path / "undo")) == [(sidecar, False)]
    assert sidecar.read_bytes() == DARKTABLE


@pytest.mark.parametrize("data", [b"no XML", b"<a/>", b"<!DOCTYPE x [<!ENTITY e 'x'>]>&e;"])
def test_what_is_no_xmp_is_not_touched(tmp_path: Path, data: bytes) -> None:
    path = photo(tmp_path)
    (tmp_path / "a.jpg.xmp").write_bytes(data)
    with pytest.raises(ValueError, match="XM"):
        plan(path, RATING)
    assert (tmp_path / "a.jpg.xmp").read_bytes() == data


def test_a_photo_that_is_no_jpeg_gets_a_sidecar(tmp_path: Path) -> None:
    path = photo(tmp_path, "a.png")
    data = path.read_bytes()
    assert rate(path, tmp_path / "undo", embed=True) == tmp_path / "a.png.xmp"
    assert path.read_bytes() == data


def test_a_packet_too_large_for_a_jpeg(tmp_path: Path) -> None:
    path = photo(tmp_path)
    with pytest.raises(ValueError, match="segment"):
        plan(path, Rating(1, tower="x" * 66000), embed=True)


def test_a_damaged_jpeg_is_not_touched(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.linear_gradient("L").save(buffer, "JPEG")
    path = tmp_path / "a.jpg"
    for data in (b"", b"no JPEG", buffer.getvalue()[:15]):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="JPEG"):
            plan(path, RATING, embed=True)


def test_stars_by_share() -> None:
    stars = stars_by_share(100)
    assert {value: stars.count(value) for value in set(stars)} == {5: 5, 4: 15, 3: 40, 2: 30, 1: 10}
    assert stars == sorted(stars, reverse=True)
    assert stars_by_share(100, reject=10)[90:] == [-1] * 10
    assert stars_by_share(1) == [5]
    assert stars_by_share(0) == []


def test_stars_by_mean() -> None:
    means = (6.0, 5.5, 5.0, 4.0)
    assert [stars_by_mean(mean, means) for mean in (7, 6, 5.9, 5.2, 4.5, 3)] == [5, 5, 4, 3, 2, 1]
    assert stars_by_mean(2.9, means, reject=3) == -1
