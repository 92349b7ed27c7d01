import base64
import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from iq_client.gallery import write_gallery
from iq_client.gallery.thumbnails import (
    LEAST_BYTES,
    MOST_BYTES,
    PAGE_BYTES,
    bytes_per_thumbnail,
    thumbnail,
)
from iq_client.results import Group, ImageError, RankedImage, Score

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


def scored(source, mean=5.0):
    return Score(source, mean, 1.5, tuple(np.full(10, 0.1)))


def ranking(*sources):
    return [RankedImage(rank, scored(source)) for rank, source in enumerate(sources, start=1)]


class Scripts(HTMLParser):
    """The text of every script element, as an HTML parser sees it."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.tags = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "script":
            self.found.append((dict(attributes), ""))

    def handle_data(self, data):
        if self.tags and self.tags[-1] == "script" and self.found:
            attributes, text = self.found[-1]
            self.found[-1] = (attributes, text + data)

    def handle_endtag(self, tag):
        self.tags.append(f"/{tag}")


def scripts(path):
    return Scripts(path.read_text(encoding="utf-8")).found


def photos(path):
    return json.loads(scripts(path)[0][1])["photos"]


def decoded(small):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(small.data_uri.split(",")[1]))))


def photo_file(path, size=(300, 200), color="teal", **options):
    Image.new("RGB", size, color).save(path, **options)
    return str(path)


def test_the_page_holds_every_photo_and_its_thumbnail(tmp_path):
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
    assert len(blocks) == 2
    assert len(pictures) == 71
    assert pictures[-1] is None
    small = Image.open(io.BytesIO(base64.b64decode(pictures[0].split(",")[1])))
    assert (small.format, small.size) == ("WEBP", (300, 200))


def test_nothing_outside_the_page_is_referred_to(tmp_path):
    write_gallery(tmp_path / "out.html", ranking(photo_file(tmp_path / "a.jpg")))
    page = (tmp_path / "out.html").read_text()
    assert "http:" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in page
    assert "default-src 'none'" in page


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.text(st.characters(), max_size=30), st.sampled_from(HOSTILE))))
def test_names_never_become_markup(tmp_path_factory, names):
    out = tmp_path_factory.mktemp("gallery") / "out.html"
    write_gallery(out, ranking(*names), title="".join(names[:1]))
    found = scripts(out)
    assert [photo["name"] for photo in photos(out)] == names
    plain = tmp_path_factory.mktemp("plain") / "out.html"
    write_gallery(plain, ranking(*("name" for _ in names)))
    assert Scripts(out.read_text()).tags == Scripts(plain.read_text()).tags
    assert len(found) == len(scripts(plain))


def test_groups_are_ranked_over_all_their_members(tmp_path):
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


def test_an_empty_ranking_is_a_page(tmp_path):
    write_gallery(tmp_path / "out.html", [])
    assert photos(tmp_path / "out.html") == []


def test_on_photo_is_told_of_each_one(tmp_path):
    seen = []
    write_gallery(tmp_path / "out.html", ranking("x", "y"), on_photo=lambda: seen.append(1))
    assert len(seen) == 2


def test_images_without_files_come_from_the_caller(tmp_path):
    write_gallery(
        tmp_path / "out.html",
        ranking("image[0]"),
        open_image=lambda source: Image.new("L", (40, 20)),
    )
    assert photos(tmp_path / "out.html")[0]["size"] == [40, 20]


# What limits a thumbnail is its bytes; noise is the worst that can be asked of it.
@pytest.mark.parametrize("max_bytes", [LEAST_BYTES, 8_000, MOST_BYTES])
@pytest.mark.parametrize("size", [(1600, 1200), (1200, 1600), (3000, 20), (1, 1)])
def test_a_thumbnail_keeps_to_its_bytes(size, max_bytes):
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    small = thumbnail(Image.fromarray(noise), max_bytes)
    data = base64.b64decode(small.data_uri.removeprefix("data:image/webp;base64,"))
    assert len(data) <= max_bytes
    assert small.width <= size[0]
    assert small.height <= size[1]


@pytest.mark.parametrize("photos_on_page", [0, 1, 100, 5_000, 16_000])
def test_all_thumbnails_together_keep_to_the_limit_of_the_page(photos_on_page):
    assert bytes_per_thumbnail(photos_on_page) * photos_on_page <= PAGE_BYTES
    assert LEAST_BYTES <= bytes_per_thumbnail(photos_on_page) <= MOST_BYTES


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_mode_gives_a_thumbnail(mode):
    grey = Image.linear_gradient("L")
    image = (
        Image.fromarray(np.asarray(grey, np.uint16) * 257)
        if mode == "I;16"
        else grey.convert("RGB").convert(mode)
        if mode != "I"
        else Image.fromarray(np.asarray(grey, np.int32) * 257)
    )
    assert image.mode == mode
    assert thumbnail(image, 8_000).width > 0


def test_a_16_bit_image_is_not_clipped():
    levels = np.linspace(0, 65535, 256, dtype=np.uint16)[None].repeat(64, axis=0)
    small = thumbnail(Image.fromarray(levels), 8_000)
    assert 100 < decoded(small).mean() < 155


def test_a_rotated_photo_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo_file(tmp_path / "a.jpg", (300, 200), exif=exif)
    with Image.open(tmp_path / "a.jpg") as image:
        small = thumbnail(image, 8_000)
    assert small.height > small.width


def test_transparency_lies_on_white():
    small = thumbnail(Image.new("RGBA", (20, 20), (0, 0, 0, 0)), 8_000)
    assert decoded(small).min() >= 250


@pytest.mark.parametrize(
    "profile",
    [ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), b"not a profile"],
)
def test_colour_profiles_good_and_broken(tmp_path, profile):
    path = photo_file(tmp_path / "a.jpg", icc_profile=profile)
    with Image.open(path) as image:
        small = thumbnail(image, 8_000)
    assert np.allclose(decoded(small).mean((0, 1)), (0, 128, 128), atol=6)  # still teal


def test_a_broken_photo_is_shown_without_a_picture(tmp_path):
    path = tmp_path / "broken.jpg"
    photo_file(path)
    path.write_bytes(path.read_bytes()[:300])
    write_gallery(tmp_path / "out.html", ranking(str(path)))
    assert "size" not in photos(tmp_path / "out.html")[0]
