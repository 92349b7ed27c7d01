"""The page: names, ranks and pictures in one file."""

from __future__ import annotations

import base64
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from iq_client.gallery import _budgets, write_gallery
from iq_client.gallery.thumbnails import MOST_BYTES, PAGE_BYTES
from iq_client.groups import Fingerprint, group_images
from iq_client.results import Group, ImageError, RankedImage, RankKey, Score

HOSTILE = [
    "</script><script>document.title='owned'</script>.jpg",
    '"><img src=x onerror="document.title=1">.jpg',
    "javascript:alert(1)",
    "<!--<script>.jpg",
    "${style} $photos &lt; &#60;.jpg",
    "\u2028\u2029\ud83d.jpg",
    "\udcff\udcfe.jpg",
    "line\nbreak\ttab.jpg",
    "\u202egpj.exe",
]


def scored(source: str, mean: float = 5.0, std: float = 1.5) -> Score:
    return Score(source, mean, std, tuple(np.full(10, 0.1)))


def ranking(*sources: str) -> list[RankedImage]:
    return [RankedImage(rank, scored(source)) for rank, source in enumerate(sources, start=1)]


class Scripts(HTMLParser):
    """The text of every script element, as an HTML parser sees it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[dict[str, str | None], str]] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "script":
            self.found.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script" and self.found:
            attributes, text = self.found[-1]
            self.found[-1] = (attributes, text + data)

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"/{tag}")


def scripts(path: Path) -> list[tuple[dict[str, str | None], str]]:
    return Scripts(path.read_text(encoding="utf-8")).found


def photos(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(scripts(path)[0][1])["photos"]
    return found


def photo_file(path: Path, size: tuple[int, int] = (300, 200), **options: Any) -> str:
    Image.new("RGB", size, "teal").save(path, **options)
    return str(path)


def test_the_page_holds_every_photo_and_its_thumbnail(tmp_path: Path) -> None:
    names = [photo_file(tmp_path / f"{index}.png") for index in range(70)]
    failed = RankedImage(None, Score.failed("gone.jpg", ImageError("NOT_FOUND", "no such file")))
    write_gallery(tmp_path / "out.html", [*ranking(*names), failed])
    page = photos(tmp_path / "out.html")
    assert [photo["name"] for photo in page] == [*names, "gone.jpg"]
    assert [photo["rank"] for photo in page] == [*range(1, 71), None]
    assert page[0]["size"] == [300, 200]
    assert page[0]["p"] == [0.1] * 10
    assert page[0]["original"] == "0.png"
    assert page[-1]["error"] == ["NOT_FOUND", "no such file"]
    blocks = [
        json.loads(text)
        for attributes, text in scripts(tmp_path / "out.html")
        if attributes.get("class") == "thumbnails"
    ]
    pictures = [picture for block in blocks for picture in block]
    assert len(blocks) > 1
    assert len(pictures) == 71
    assert pictures[-1] is None
    small = Image.open(io.BytesIO(base64.b64decode(pictures[0].split(",")[1])))
    assert (small.format, small.size) == ("WEBP", (300, 200))


def test_nothing_outside_the_page_is_referred_to(tmp_path: Path) -> None:
    write_gallery(tmp_path / "out.html", ranking(photo_file(tmp_path / "a.jpg")))
    page = (tmp_path / "out.html").read_text()
    assert "http:" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in page
    assert "default-src 'none'" in page


@settings(max_examples=20)
@given(st.lists(st.one_of(st.text(st.characters(), max_size=30), st.sampled_from(HOSTILE))))
def test_names_never_become_markup(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    out = tmp_path_factory.mktemp("gallery") / "out.html"
    write_gallery(out, ranking(*names), title="".join(names[:1]))
    found = scripts(out)
    assert [photo["name"] for photo in photos(out)] == names
    plain = tmp_path_factory.mktemp("plain") / "out.html"
    write_gallery(plain, ranking(*("name" for _ in names)))
    assert Scripts(out.read_text()).tags == Scripts(plain.read_text()).tags
    assert len(found) == len(scripts(plain))


def test_groups_are_ranked_over_all_their_members(tmp_path: Path) -> None:
    groups = [
        Group((RankedImage(1, scored("a", 8.0)), RankedImage(2, scored("b", 4.0)))),
        Group((RankedImage(1, scored("c", 6.0)),)),
    ]
    write_gallery(tmp_path / "out.html", groups)
    page = photos(tmp_path / "out.html")
    assert [(photo["name"], photo["rank"], photo.get("group")) for photo in page] == [
        ("a", 1, 0),
        ("b", 3, 0),
        ("c", 2, None),
    ]


def test_groups_are_ranked_by_the_key_that_they_were_made_with(tmp_path: Path) -> None:
    disputed, agreed = scored("disputed", 6.0, 3.0), scored("agreed", 5.0, 1.0)
    unread = [Fingerprint()] * 2
    groups = group_images([disputed, agreed], unread, key="lower_bound")
    assert [group.best.score.source for group in groups] == ["agreed", "disputed"]
    write_gallery(tmp_path / "out.html", groups)
    page = photos(tmp_path / "out.html")
    assert [(photo["name"], photo["rank"]) for photo in page] == [("agreed", 1), ("disputed", 2)]


def test_groups_of_different_keys_have_no_common_rank(tmp_path: Path) -> None:
    groups = [Group((RankedImage(1, scored("a")),), key) for key in get_args(RankKey)]
    with pytest.raises(ValueError, match="lower_bound"):
        write_gallery(tmp_path / "out.html", groups)


def test_an_empty_ranking_is_a_page(tmp_path: Path) -> None:
    write_gallery(tmp_path / "out.html", [])
    assert photos(tmp_path / "out.html") == []


def test_on_photo_is_told_of_each_one(tmp_path: Path) -> None:
    seen: list[int] = []
    write_gallery(tmp_path / "out.html", ranking("x", "y"), on_photo=lambda: seen.append(1))
    assert len(seen) == 2


def test_images_without_files_come_from_the_caller(tmp_path: Path) -> None:
    write_gallery(
        tmp_path / "out.html",
        ranking("image[0]"),
        open_image=lambda source: Image.new("L", (40, 20)),
    )
    assert photos(tmp_path / "out.html")[0]["size"] == [40, 20]


def test_a_broken_photo_is_shown_without_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    photo_file(path)
    path.write_bytes(path.read_bytes()[:300])
    write_gallery(tmp_path / "out.html", ranking(str(path)))
    assert "size" not in photos(tmp_path / "out.html")[0]


def test_a_percentile_stands_on_the_page_where_there_is_one(tmp_path: Path) -> None:
    known = Score("a.jpg", 5.0, 1.5, tuple(np.full(10, 0.1)), percentile=83.4)
    rows = [RankedImage(1, known), RankedImage(2, scored("b.jpg"))]
    write_gallery(tmp_path / "page.html", rows)
    scripts = Scripts((tmp_path / "page.html").read_text()).found
    (data,) = [text for attributes, text in scripts if attributes.get("id") == "photos"]
    photos = json.loads(data)["photos"]
    assert [photo.get("percentile") for photo in photos] == [83, None]


def test_members_of_groups_get_larger_pictures_where_there_are_many_photos() -> None:
    alone, grouped = _budgets([None] * 9_000 + [1] * 1_000)
    assert grouped > 3 * alone
    assert 9_000 * alone + 1_000 * grouped <= PAGE_BYTES
    assert _budgets([None] * 10_000) == (4_000, 4_000)
    assert _budgets([None, 1, 1]) == (MOST_BYTES, MOST_BYTES)


def test_time_and_camera_stand_on_the_page(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0110] = "Camera 5 "
    exif.get_ifd(0x8769)[0x9003] = "2026:05:17 14:03:21"
    known = photo_file(tmp_path / "a.jpg", exif=exif)
    exif.get_ifd(0x8769)[0x9003] = "0000:00:00 00:00:00"
    write_gallery(tmp_path / "out.html", ranking(known, photo_file(tmp_path / "b.jpg", exif=exif)))
    found = photos(tmp_path / "out.html")
    assert [photo["camera"] for photo in found] == ["Camera 5"] * 2
    assert [photo.get("taken") for photo in found] == ["2026-05-17T14:03:21", None]
