"""The gallery in headless Chromium, at the widths of a desktop and of a phone."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from PIL import Image
from playwright.sync_api import (
    Browser,
    BrowserContext,
    FloatRect,
    Locator,
    Page,
    expect,
    sync_playwright,
)

from iq_client.gallery import write_gallery
from iq_client.ranking import probability_better, rank
from iq_client.results import Group, ImageError, RankedImage, Score

OpenPage: TypeAlias = Callable[..., Page]

CHROMIUM = shutil.which("chromium")
# Chromium's reports: the file behind a thumbnail is gone; a page that opens keeps the focus it has.
HARMLESS = ("ERR_FILE_NOT_FOUND", "Autofocus processing was blocked")
pytestmark = [
    pytest.mark.slow,  # drives a browser
    pytest.mark.skipif(
        CHROMIUM is None, reason="needs Chromium: apt-get install --no-install-recommends chromium"
    ),
]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect.set_options(timeout=300_000)  # machines may be busy; what is there is seen at once
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
}
HOSTILE = "<img src=x onerror=\"document.title='owned'\">\u202e'&quot;.png"


def bell(source: str, mean: float, spread: float = 1.4, std: float | None = None) -> Score:
    weights = [math.exp(-(((vote - mean) / spread) ** 2) / 2) for vote in range(1, 11)]
    p = tuple(weight / sum(weights) for weight in weights)
    mean = sum(vote * q for vote, q in enumerate(p, 1))
    if std is None:
        std = math.sqrt(sum((vote - mean) ** 2 * q for vote, q in enumerate(p, 1)))
    return Score(source, mean, std, p)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens a gallery; the test fails on a script error, a CSP report or a request to a network."""
    contexts: list[BrowserContext] = []
    troubles: list[str] = []

    def opened(path: Path, **options: Any) -> Page:
        context = browser.new_context(**options)
        context.set_default_timeout(300_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on(
            "console",
            lambda message: (
                None
                if any(told in message.text for told in HARMLESS)
                else troubles.append(message.text)
            ),
        )
        page.on(
            "request",
            lambda request: (
                troubles.append(request.url)
                if not request.url.startswith(("file:", "data:"))
                else None
            ),
        )
        page.goto(Path(path).as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture(scope="module")
def ranking(tmp_path_factory: pytest.TempPathFactory) -> list[RankedImage]:
    """Twelve photos of scores 8.0, 7.5 … 2.5 and two that failed."""
    folder = tmp_path_factory.mktemp("photos")
    names = [HOSTILE if index == 3 else f"photo {index:02}.png" for index in range(12)]
    rows = []
    for index, name in enumerate(names):
        size = (200, 300) if index % 4 == 1 else (300, 200)
        Image.new("RGB", size, (20 * index, 90, 200 - 15 * index)).save(folder / name)
        rows.append(RankedImage(index + 1, bell(str(folder / name), 8.0 - index / 2)))
    for name in ("gone.jpg", "<b>bad</b>.jpg"):
        rows.append(RankedImage(None, Score.failed(name, ImageError("NOT_FOUND", "no such <i>"))))
    return rows


@pytest.fixture(scope="module")
def gallery(ranking: list[RankedImage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "out.html"
    write_gallery(path, ranking)
    return path


@pytest.fixture(scope="module")
def grouped(ranking: list[RankedImage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A group of three, one of two, and photos alone."""
    scores = [row.score for row in ranking if row.score.ok]
    parts = [scores[:3], scores[3:5], *([score] for score in scores[5:])]
    groups = [
        Group(tuple(RankedImage(rank, score) for rank, score in enumerate(part, 1)))
        for part in parts
    ]
    path = tmp_path_factory.mktemp("page") / "out.html"
    write_gallery(path, groups)
    return path


def box_of(locator: Locator) -> FloatRect:
    """The place of an element that is seen."""
    box = locator.bounding_box()
    assert box is not None
    return box


def means(page: Page) -> list[float]:
    return [float(text) for text in page.locator(".card .mean").all_text_contents()]


@pytest.mark.parametrize("options", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_best_comes_first_and_the_page_fits(
    open_page: OpenPage, gallery: Path, options: dict[str, Any], scheme: str
) -> None:
    page = open_page(gallery, color_scheme=scheme, **options)
    expect(page.locator(".card")).to_have_count(12)
    expect(page.locator(".card img").first).to_have_js_property("complete", True)
    assert means(page) == sorted(means(page), reverse=True)
    expect(page.locator("#summary")).to_have_text("12 photos · 2 not scored")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = int(re.findall(r"\d+", background)[0]) > 127
    assert light == (scheme == "light")
    # Every picture has the height of its row, which is what makes the rows even.
    boxes = [box_of(card) for card in page.locator(".card").all()]
    rows: dict[int, list[float]] = {}
    for box in boxes:
        rows.setdefault(round(box["y"]), []).append(box["height"])
    assert all(max(heights) - min(heights) < 1.5 for heights in rows.values())


def test_file_names_are_text(open_page: OpenPage, gallery: Path) -> None:
    page = open_page(gallery, **DESKTOP)
    assert page.title() == "Photos by quality"
    expect(page.locator(".card").nth(3).locator(".name")).to_have_text(HOSTILE)
    page.locator(".card").nth(3).click()
    expect(page.locator(".pane .path")).to_contain_text("onerror")
    assert page.title() == "Photos by quality"
    expect(page.locator("#failures li").nth(1)).to_contain_text("<b>bad</b>.jpg")
    expect(page.locator("#failures li").nth(1)).to_contain_text("no such <i>")


def test_the_histogram_shows_on_hover(
    open_page: OpenPage, gallery: Path, ranking: list[RankedImage]
) -> None:
    page = open_page(gallery, **DESKTOP)
    page.locator(".card").nth(2).hover()
    bars = page.locator(".card").nth(2).locator(".over .bars i")
    expect(bars).to_have_count(10)
    heights = [box_of(bar)["height"] for bar in bars.all()]
    p = ranking[2].score.distribution
    assert heights.index(max(heights)) == p.index(max(p))


def test_the_histogram_shows_on_tap(open_page: OpenPage, gallery: Path) -> None:
    page = open_page(gallery, **PHONE)
    page.locator(".card .photo").first.tap()
    expect(page.locator("#viewer .histogram .bars i")).to_have_count(10)
    expect(page.locator("#viewer .histogram .bars")).to_be_visible()


def test_filter_by_score_and_name(open_page: OpenPage, gallery: Path) -> None:
    page = open_page(gallery, **DESKTOP)
    low, high = (float(page.locator(end).input_value()) for end in ("#low", "#high"))
    everything = means(page)
    assert 0 <= min(everything) - low < 0.06  # the sliders span what occurs
    assert 0 <= high - max(everything) < 0.06
    page.locator("#low").fill("6")
    assert means(page)
    assert min(means(page)) >= 6
    page.locator("#high").fill("7")
    assert all(6 <= mean <= 7 for mean in means(page))
    expect(page.locator("#between")).to_have_text("6.00 – 7.00")
    page.locator("#high").fill(str(low))  # pushes the lower one along
    expect(page.locator("#nothing")).to_be_visible()
    page.locator("#reset").click()
    expect(page.locator(".card")).to_have_count(12)
    page.locator("#find").fill("PHOTO 1")
    expect(page.locator(".card .name")).to_have_text(["photo 10.png", "photo 11.png"])


def test_sort(open_page: OpenPage, gallery: Path) -> None:
    page = open_page(gallery, **DESKTOP)
    page.locator("#sort").select_option("worst")
    assert means(page) == sorted(means(page))
    page.locator("#sort").select_option("name")
    names = page.locator(".card .name").all_text_contents()
    assert names[-2:] == ["photo 10.png", "photo 11.png"]


def test_the_best_by_the_lower_bound_come_first(open_page: OpenPage, tmp_path: Path) -> None:
    scores = [bell("disputed.jpg", 6.0, std=3.0), bell("agreed.jpg", 5.0, std=1.0)]
    write_gallery(tmp_path / "out.html", rank(scores, key="lower_bound"))
    page = open_page(tmp_path / "out.html", **DESKTOP)
    expect(page.locator(".card .name")).to_have_text(["agreed.jpg", "disputed.jpg"])
    page.locator("#sort").select_option("worst")
    expect(page.locator(".card .name")).to_have_text(["disputed.jpg", "agreed.jpg"])


def test_two_photos_side_by_side(
    open_page: OpenPage, gallery: Path, ranking: list[RankedImage]
) -> None:
    page = open_page(gallery, **DESKTOP)
    for index in (6, 4):
        page.locator(".card").nth(index).hover()
        page.locator(".card").nth(index).locator(".choose").click()
    page.locator("#compare").click()
    left, right = page.locator(".pane").all()
    assert box_of(left)["x"] < box_of(right)["x"]
    chance = probability_better(ranking[4].score, ranking[6].score)
    expect(page.locator("#verdict")).to_have_text(
        f"The second is better: {round(100 * chance)} % to {100 - round(100 * chance)} %"
    )
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()


def test_two_photos_of_which_neither_is_better(open_page: OpenPage, tmp_path: Path) -> None:
    rows = [RankedImage(rank, bell(f"{rank}.jpg", 5.0)) for rank in (1, 2)]
    write_gallery(tmp_path / "out.html", rows)
    page = open_page(tmp_path / "out.html", **DESKTOP)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("c")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("c")
    page.keyboard.press("Enter")
    expect(page.locator("#verdict")).to_have_text("Neither is better: 50 % to 50 %")
    expect(page.locator(".pane.better")).to_have_count(0)


def test_on_a_phone_two_photos_stand_above_each_other(open_page: OpenPage, gallery: Path) -> None:
    page = open_page(gallery, **PHONE)
    for index in (0, 1):
        page.locator(".card .choose").nth(index).tap()
    page.locator("#compare").tap()
    first, second = (box_of(pane) for pane in page.locator(".pane").all())
    assert first["y"] + first["height"] <= second["y"]
    assert second["y"] + second["height"] <= 844


def test_the_viewer_shows_the_file_itself_where_it_can(open_page: OpenPage, gallery: Path) -> None:
    page = open_page(gallery, **DESKTOP)
    page.locator(".card").first.click()
    expect(page.locator(".pane img")).to_have_attribute("src", re.compile(r"00\.png$"))


def test_the_page_works_when_the_files_are_gone(open_page: OpenPage, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (30, 20)).save(photo)
    write_gallery(tmp_path / "out.html", [RankedImage(1, bell(str(photo), 5.0))])
    photo.unlink()
    page = open_page(tmp_path / "out.html", **DESKTOP)
    with page.expect_event("requestfailed"):
        page.locator(".card").first.click()
    expect(page.locator(".pane img")).to_have_attribute("src", re.compile("^data:image/webp"))


def test_the_keyboard_alone(open_page: OpenPage, gallery: Path) -> None:
    page = open_page(gallery, **DESKTOP)
    focused = "document.activeElement.dataset.index"
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == "0"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    below = int(page.evaluate(focused))
    cards = page.locator(".card").all()
    assert box_of(cards[below])["y"] > box_of(cards[1])["y"]
    page.keyboard.press("ArrowUp")
    assert page.evaluate(focused) == "1"
    page.keyboard.press("Enter")
    expect(page.locator("#verdict")).to_have_text("2 of 12")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#verdict")).to_have_text("3 of 12")
    page.keyboard.press("Escape")
    assert page.evaluate(focused) == "2"
    page.keyboard.press("c")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("c")
    page.keyboard.press("Enter")
    expect(page.locator(".pane")).to_have_count(2)
    page.keyboard.press("Escape")
    expect(page.locator(".pane")).to_have_count(0)
    page.keyboard.press("/")
    page.keyboard.type("photo 05")
    expect(page.locator(".card")).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") in ("light", "dark")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()


def test_opening_again_at_once_is_not_undone(open_page: OpenPage, gallery: Path) -> None:
    page = open_page(gallery, **DESKTOP)
    page.locator(".card").nth(1).focus()
    page.keyboard.press("Enter")
    # In one task of the browser: nothing that closing queues may run in between.
    found = page.evaluate(
        """() => {
          document.getElementById("close").click();
          document.activeElement.dispatchEvent(
            new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
          return new Promise((settled) =>
            setTimeout(() => settled(document.querySelectorAll(".pane").length), 200));
        }"""
    )
    assert found == 1
    expect(page.locator("#verdict")).to_have_text("2 of 12")


def test_groups_are_folded_under_their_best(open_page: OpenPage, grouped: Path) -> None:
    page = open_page(grouped, **DESKTOP)
    expect(page.locator(".card")).to_have_count(9)
    expect(page.locator(".fold")).to_have_text(["3 photos", "2 photos"])
    page.locator(".fold").first.click()
    expect(page.locator(".card")).to_have_count(11)
    expect(page.locator(".card.member")).to_have_count(2)
    page.locator(".fold").first.click()
    expect(page.locator(".card")).to_have_count(9)
    page.locator(".card").nth(1).focus()
    page.keyboard.press("g")
    expect(page.locator(".card")).to_have_count(10)
    page.locator("#unfold").click()
    expect(page.locator(".card")).to_have_count(12)
    page.locator("#unfold").click()
    expect(page.locator(".card")).to_have_count(9)
    # A filter that leaves one of a group leaves nothing to unfold.
    page.locator("#low").fill("7.6")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".fold")).to_have_count(0)


def test_thousands_of_photos_are_laid_out_without_their_pictures(
    open_page: OpenPage, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (30, 20)).save(photo)
    rows = [RankedImage(rank, bell(str(photo), 9 - rank / 700)) for rank in range(1, 5001)]
    write_gallery(tmp_path / "out.html", rows)
    page = open_page(tmp_path / "out.html", **DESKTOP)
    expect(page.locator(".card img").first).to_be_visible()
    expect(page.locator("#summary")).to_have_text("5000 photos")
    assert page.locator(".card").count() < 200
    expect(page.locator(".card").first).to_have_attribute("aria-setsize", "5000")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator('.card[aria-posinset="5000"] img')).to_be_visible()
    assert page.locator(".card").count() < 200  # those of the top were let go


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def exported(page: Page, form: str, what: str = "marked") -> str:
    """The text of the dialog for exports."""
    page.locator("#export").click()
    page.locator("#format").select_option(form)
    if form != "pairs":
        page.locator("#what").select_option(what)
    text = page.locator("#exported").input_value()
    page.locator("#export-dialog").get_by_role("button", name="Close").click()
    return text


def test_marks_by_keys_are_counted_filtered_and_kept(open_page: OpenPage, gallery: Path) -> None:
    page = open_page(gallery, **DESKTOP)
    press(
        page, "ArrowRight", "p", "5", "ArrowRight", "x", "ArrowRight", "3", "ArrowRight", "p", "u"
    )
    expect(page.locator("#counter")).to_have_text("1 picked · 1 rejected · 2 starred")
    for value, count in (("picked", 1), ("rejected", 1), ("kept", 11), ("unmarked", 9),
                         ("stars1", 2), ("stars4", 1), ("all", 12)):  # fmt: skip
        page.locator("#marked").select_option(value)
        expect(page.locator(".card")).to_have_count(count)
    page.reload()
    expect(page.locator("#counter")).to_have_text("1 picked · 1 rejected · 2 starred")
    page.keyboard.press("ArrowRight")
    press(page, "u", "Control+z")
    expect(page.locator(".card").first).to_have_attribute("data-flag", "pick")


def test_marks_by_touch(open_page: OpenPage, gallery: Path) -> None:
    page = open_page(gallery, **PHONE)
    page.locator(".card .marks .pick").first.tap()
    expect(page.locator("#counter")).to_have_text("1 picked")
    page.locator(".card .photo").first.tap()
    page.locator("#viewer .star").nth(3).tap()
    page.locator("#viewer .reject").tap()
    expect(page.locator("#counter")).to_have_text("1 rejected · 1 starred")
    page.locator("#close").tap()
    assert page.locator("#viewer").is_hidden()


def test_exports(open_page: OpenPage, gallery: Path, ranking: list[RankedImage]) -> None:
    page = open_page(gallery, **DESKTOP)
    press(page, "ArrowRight", "p", "4", "ArrowRight", "x", "ArrowRight", "ArrowRight", "p")
    names = [row.score.source for row in ranking]
    assert json.loads(exported(page, "json")) == {
        "picks": 1,
        "photos": [
            {"path": names[0], "flag": "pick", "stars": 4},
            {"path": names[1], "flag": "reject", "stars": 0},
            {"path": names[3], "flag": "pick", "stars": 0},
        ],
    }
    assert exported(page, "list", "picked") == f"{names[0]}\n{names[3]}\n"
    rows = list(csv.DictReader(io.StringIO(exported(page, "csv", "rejected"), newline="")))
    assert [(row["path"], row["flag"]) for row in rows] == [(names[1], "reject")]
    page.locator("#export").click()
    page.locator("#format").select_option("json")
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename == "picks.json"
    assert len(json.loads(Path(download.value.path()).read_text())["photos"]) == 2


def test_four_photos_are_compared_and_a_fifth_is_refused(
    open_page: OpenPage, gallery: Path
) -> None:
    page = open_page(gallery, **DESKTOP)
    for _ in range(5):
        press(page, "ArrowRight", "c")
    expect(page.locator("#said")).to_contain_text("4 photos at most")
    expect(page.locator("#chosen")).to_have_text("4 photos")
    page.locator("#compare").click()
    expect(page.locator(".pane")).to_have_count(4)
    boxes = [box_of(pane) for pane in page.locator(".pane").all()]
    assert {round(box["y"]) for box in boxes} == {round(boxes[0]["y"]), round(boxes[3]["y"])}


def test_zoom_and_pan_go_together(open_page: OpenPage, gallery: Path) -> None:
    page = open_page(gallery, **DESKTOP)
    press(page, "ArrowRight", "c", "ArrowRight", "ArrowRight", "c")
    page.locator("#compare").click()
    expect(page.locator('.pane img:not([src^="data:"])')).to_have_count(2)
    page.keyboard.press("z")
    expect(page.locator("#zoom")).to_have_text("100 %")
    for _ in range(8):
        page.keyboard.press("+")
    view = page.locator(".pane .view").first
    box = box_of(view)
    before = [box_of(image) for image in page.locator(".pane img").all()]
    assert before[0]["width"] == pytest.approx(before[1]["width"], abs=1)
    assert before[0]["width"] > 300
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 180, steps=4)
    page.mouse.up()
    after = [box_of(image) for image in page.locator(".pane img").all()]
    moves = [(new["x"] - old["x"], new["y"] - old["y"])
             for old, new in zip(before, after, strict=True)]  # fmt: skip
    assert moves[0][0] < -20
    assert moves[0] == pytest.approx(moves[1], abs=1)


def test_a_burst_is_judged_and_the_next_one_opened(
    open_page: OpenPage, grouped: Path, ranking: list[RankedImage]
) -> None:
    page = open_page(grouped, **DESKTOP)
    press(page, "ArrowRight", "b")
    expect(page.locator("#verdict")).to_contain_text("1 and 2 of a burst of 3")
    press(page, "ArrowRight")
    expect(page.locator("#verdict")).to_contain_text("1 and 3 of a burst of 3")
    press(page, "ArrowLeft", "ArrowDown", "Enter")  # the second beats the first, meets the third
    expect(page.locator("#verdict")).to_contain_text("2 and 3 of a burst of 3")
    press(page, "Enter", "k")
    expect(page.locator("#verdict")).to_contain_text("of a burst of 2")
    press(page, "Escape")
    expect(page.locator("#counter")).to_have_text("1 picked · 2 rejected · 2 pairs")
    first, second, third = (row.score.source for row in ranking[:3])
    rows = list(csv.reader(io.StringIO(exported(page, "pairs"), newline="")))
    assert rows == [["winner", "loser"], [second, first], [second, third]]


def test_a_burst_is_gone_through_by_touch(open_page: OpenPage, grouped: Path) -> None:
    page = open_page(grouped, **PHONE)
    page.locator(".card.lead .photo").first.tap()
    page.get_by_role("button", name="Go through its burst").tap()
    expect(page.locator("#verdict")).to_contain_text("1 and 2 of a burst of 3")
    page.locator("#after").tap()
    page.get_by_role("button", name="Keep, next group").first.tap()
    expect(page.locator("#verdict")).to_contain_text("of a burst of 2")
    page.locator("#close").tap()
    expect(page.locator("#counter")).to_have_text("1 picked · 2 rejected")


def test_folder_day_and_camera(open_page: OpenPage, tmp_path: Path) -> None:
    rows = []
    for index, (folder, day) in enumerate([("a", 2), ("b", 1), ("b", 2)]):
        (tmp_path / folder).mkdir(exist_ok=True)
        path = tmp_path / folder / f"{index}.jpg"
        exif = Image.Exif()
        exif[0x0110] = f"Camera {folder}"
        exif.get_ifd(0x8769)[0x9003] = f"2026:05:0{day} 10:00:0{index}"
        Image.new("RGB", (30, 20)).save(path, exif=exif)
        rows.append(RankedImage(index + 1, bell(str(path), 6 - index)))
    write_gallery(tmp_path / "out.html", rows)
    page = open_page(tmp_path / "out.html", **DESKTOP)
    names = page.locator(".card .name")
    expect(page.locator(".card .facts").first).to_have_text("a · 2026-05-02 10:00:00 · Camera a")
    page.locator("#sort").select_option("oldest")
    expect(names).to_have_text(["1.jpg", "0.jpg", "2.jpg"])
    page.locator("summary").click()
    page.locator("#day").select_option("2026-05-02")
    expect(names).to_have_text(["0.jpg", "2.jpg"])
    page.locator("#camera").select_option("Camera b")
    expect(names).to_have_text(["2.jpg"])
    page.locator("#camera").select_option("all")
    page.locator("#day").select_option("all")
    page.locator("#folder").select_option(str(tmp_path / "a"))
    expect(names).to_have_text(["0.jpg"])
    page.locator("#folder").select_option("all")
    wide = box_of(page.locator(".card").first)["width"]
    page.locator("#size").fill("120")
    assert box_of(page.locator(".card").first)["width"] < wide


def test_reasons_are_chips_and_a_filter_and_what_was_left_out_is_counted(
    open_page: OpenPage, tmp_path: Path
) -> None:
    Image.new("RGB", (300, 200), "teal").save(tmp_path / "a.jpg")
    rows = [
        RankedImage(1, bell("good.jpg", 8.0)),
        RankedImage(2, bell(str(tmp_path / "a.jpg"), 4.0), ("blurry", "small")),
        RankedImage(3, bell("c.jpg", 3.0), ("noisy", "small")),
        RankedImage(4, bell("plain.jpg", 2.0), ()),
    ]
    write_gallery(tmp_path / "out.html", rows, left_out={"video": 3, "<b>": 1})
    page = open_page(tmp_path / "out.html", **DESKTOP)
    names = page.locator(".card .name")
    expect(page.locator("#summary")).to_have_text("4 photos · left out: 3 x video, 1 x <b>")
    expect(page.locator(".card .reasons span")).to_have_text(["blurry", "small", "noisy", "small"])
    page.locator("summary").click()
    menu = page.locator("#reasons")
    expect(menu.locator("option")).to_have_text(["all", "blurry", "noisy", "small"])
    menu.select_option("noisy")
    expect(names).to_have_text(["c.jpg"])
    menu.select_option("small")
    expect(names).to_have_text(["a.jpg", "c.jpg"])
    card = page.locator(".card").first
    assert "blurry, small" in str(card.get_attribute("aria-label"))
    card.hover()  # the histogram takes the place of the chips
    expect(card.locator(".reasons")).to_be_hidden()
    menu.select_option("all")
    write_gallery(tmp_path / "out.html", rows[:1])
    page.reload()
    page.locator("summary").click()
    expect(menu).to_be_hidden()


def test_long_names_are_shortened_in_their_middle(open_page: OpenPage, tmp_path: Path) -> None:
    name = f"{'x' * 120}_0042.jpg"
    write_gallery(tmp_path / "out.html", [RankedImage(1, bell(name, 5.0))])
    page = open_page(tmp_path / "out.html", **DESKTOP)
    shown = page.locator(".card .name .end")
    expect(shown).to_have_text("_0042.jpg")
    card = box_of(page.locator(".card"))
    assert box_of(shown)["x"] + box_of(shown)["width"] <= card["x"] + card["width"] + 1


def test_the_narrowest_cards_show_mean_and_rank_whole(open_page: OpenPage, tmp_path: Path) -> None:
    rows = []
    for index, size in enumerate([(40, 80), (40, 80), (400, 100)] * 3):
        path = tmp_path / f"IMG_20260613_1139{index:02}.png"
        Image.new("RGB", size, "teal").save(path)
        score = replace(bell(str(path), 8 - index / 4), percentile=90.0 - index)
        rows.append(RankedImage(1000 + index, score, ("underexposed",)))
    write_gallery(tmp_path / "out.html", rows)
    page = open_page(tmp_path / "out.html", **PHONE)
    narrow = [card for card in page.locator(".card").all() if box_of(card)["width"] < 70]
    assert narrow
    for card in narrow:
        mean, rank, numbers = (
            box_of(card.locator(f".{part}")) for part in ("mean", "rank", "numbers")
        )
        assert mean["x"] + mean["width"] <= rank["x"]
        assert rank["x"] + rank["width"] <= numbers["x"] + numbers["width"] + 0.5
        for cut in (card.locator(".end"), card.locator(".reasons span")):  # by an ellipsis
            assert cut.evaluate("element => getComputedStyle(element).textOverflow") == "ellipsis"
            assert box_of(cut)["x"] >= box_of(card)["x"]
            assert box_of(cut)["width"] <= box_of(card)["width"]
    wide = page.locator(".card", has_text="#1002")
    for part in ("std", "percentile"):  # what has room is seen
        assert box_of(wide.locator(f".{part}"))["y"] == box_of(wide.locator(".more"))["y"]


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The checks of axe-core (MPL-2.0), fetched for the test alone."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm, which brings axe-core")
    folder = tmp_path_factory.mktemp("axe")
    fetched = subprocess.run(
        [npm, "pack", "axe-core@4"], cwd=folder, capture_output=True, text=True, check=False
    )
    if fetched.returncode:
        pytest.skip(f"npm cannot bring axe-core: {fetched.stderr.strip().splitlines()[-1]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as package:
        script = package.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode("utf-8")


@pytest.mark.parametrize(
    ("options", "scheme"), [(DESKTOP, "dark"), (PHONE, "light")], ids=["desktop", "phone"]
)
def test_nobody_is_shut_out(
    open_page: OpenPage, grouped: Path, axe: str, options: dict[str, Any], scheme: str
) -> None:
    page = open_page(grouped, color_scheme=scheme, bypass_csp=True, **options)
    page.evaluate(axe)
    faults: list[list[str]] = []

    def check(where: str) -> None:
        found = page.evaluate("axe.run().then((found) => found.violations)")
        faults.extend(
            [where, fault["id"], fault["nodes"][0]["html"]]
            for fault in found
            if fault["impact"] in ("serious", "critical")
        )

    press(page, "ArrowRight", "p", "4", "ArrowRight", "x", "ArrowRight", "c")
    check("grid")
    press(page, "ArrowRight", "c", "Enter")
    check("comparison")
    press(page, "Escape")
    page.locator(".card.lead").first.focus()
    press(page, "b")
    expect(page.locator(".pane")).to_have_count(2)
    check("burst")
    press(page, "Escape", "e")
    check("export")
    page.locator("#export-dialog").get_by_role("button", name="Close").click()
    page.locator("#keys").click()
    check("keys")
    assert faults == []
