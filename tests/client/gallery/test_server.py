"""The gallery's web server."""

from __future__ import annotations

import io
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest
from PIL import Image

from iq_client.gallery.marks import Mark, read_marks, read_pairs, write_marks
from iq_client.gallery.server import GalleryServer
from iq_client.results import RankedImage, Score

TENTHS = (0.1,) * 10


def ask(url: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    method = "GET" if data is None else "PUT"
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    names = [str(tmp_path / f"{index}.png") for index in range(3)]
    for name in names:
        Image.new("RGB", (30, 20), "teal").save(name)
    return names


@pytest.fixture
def server(tmp_path: Path, photos: list[str]) -> Iterator[GalleryServer]:
    write_marks(tmp_path / "picks.csv", [Mark("elsewhere.jpg", "pick", 1)])
    with GalleryServer(tmp_path / "picks.csv", title="Here", open_image=Image.open) as server:
        server.show([RankedImage(n, Score(p, 5.0, 1.0, TENTHS)) for n, p in enumerate(photos, 1)])
        yield server


def test_page_thumbnails_and_originals(server: GalleryServer, photos: list[str]) -> None:
    status, page = ask(server.url)
    assert status == 200
    assert b'"thumbnail":"thumbnail/1"' in page
    status, small = ask(server.url + "thumbnail/1")
    assert Image.open(io.BytesIO(small)).format == "WEBP"
    assert ask(server.url + "original/2") == (200, Path(photos[2]).read_bytes())
    assert json.loads(ask(server.url + "state")[1]) == {"photos": 3}


def test_marks_are_written_and_read_again(
    server: GalleryServer, photos: list[str], tmp_path: Path
) -> None:
    sent = [{"path": photos[0], "flag": "reject", "stars": 2}]
    body = {"picks": 1, "photos": sent, "pairs": [[photos[1], photos[0]]]}
    assert ask(server.url + "marks", json.dumps(body).encode())[0] == 204
    elsewhere = Mark("elsewhere.jpg", "pick", 1)
    assert read_marks(tmp_path / "picks.csv") == [elsewhere, Mark(photos[0], "reject", 2)]
    assert read_pairs(tmp_path / "picks.pairs.csv") == [(photos[1], photos[0])]
    again = GalleryServer(tmp_path / "picks.csv", title="", open_image=Image.open)
    with again:
        assert json.loads(ask(again.url + "marks")[1]) == {
            **body,
            "photos": [{"path": "elsewhere.jpg", "flag": "pick", "stars": 1}, *sent],
        }
    none = {"picks": 1, "photos": [], "pairs": []}
    assert ask(server.url + "marks", json.dumps(none).encode())[0] == 204
    assert read_marks(tmp_path / "picks.csv") == [elsewhere]
    assert read_pairs(tmp_path / "picks.pairs.csv") == []


def test_changes_are_told_one_by_one_and_one_that_fails_stops_no_other(
    photos: list[str], tmp_path: Path
) -> None:
    told: list[tuple[Mark, Mark | None]] = []

    def on_change(mark: Mark, before: Mark | None) -> None:
        if mark.path == photos[0]:
            raise ValueError("the XMP is no XML")
        told.append((mark, before))

    def put(*marks: tuple[str, str | None, int]) -> tuple[int, bytes]:
        sent = [{"path": path, "flag": flag, "stars": stars} for path, flag, stars in marks]
        return ask(server.url + "marks", json.dumps({"picks": 1, "photos": sent}).encode())

    picks = tmp_path / "picks.csv"
    server = GalleryServer(picks, title="", open_image=Image.open, on_change=on_change)
    with server:
        server.show([RankedImage(n, Score(p, 5.0, 1.0, TENTHS)) for n, p in enumerate(photos, 1)])
        first = [(path, "pick", 0) for path in photos]
        assert put(*first) == (400, b"the XMP is no XML")
        assert len(read_marks(picks)) == 3
        marks = [Mark(path, "pick", 0) for path in photos]
        assert sorted(told, key=str) == [(mark, None) for mark in marks[1:]]
        told.clear()
        assert put(*first[:2])[0] == 204  # the first is as it was, the last lost its mark
        assert told == [(Mark(photos[2], None, 0), marks[2])]


@pytest.mark.parametrize("body", [b"", b"{", b'{"picks": 1, "photos": [], "pairs": [["a"]]}'])
def test_what_is_no_marks_changes_nothing(
    server: GalleryServer, tmp_path: Path, body: bytes
) -> None:
    before = (tmp_path / "picks.csv").read_bytes()
    assert ask(server.url + "marks", body)[0] == 400
    assert (tmp_path / "picks.csv").read_bytes() == before


def test_only_who_knows_the_address_is_answered(server: GalleryServer, photos: list[str]) -> None:
    root = server.url.rsplit("/", 2)[0]
    assert ask(server.url)[0] == 200
    for path in ("/", "/wrong/", "/wrong/original/0", "/../etc/passwd"):
        assert ask(root + path)[0] == 404
    assert ask(root + "/wrong/marks", b"{}")[0] == 404
    # The same address by another name, as a foreign page may make the browser ask.
    assert ask(server.url, Host="example.org")[0] == 404
    for path in ("original/3", "original/-1", "original/..%2f0", "thumbnail/x", "other"):
        assert ask(server.url + path)[0] == 404
    Path(photos[0]).unlink()
    assert ask(server.url + "original/0") == (404, b"the photo is gone")
