"""Frames of a gallery while it is scrolled in Chromium: of many photos, and of few beside it.

    python benchmarks/gallery.py --photos 10000

The photos are those of a folder, again and again; their scores are drawn. Each page is scrolled by
a fixed step a frame, then thrown to places far apart, as by its scroll bar. Needs playwright and
Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import numpy.typing as npt
from measure import machine, table
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from iq_client.gallery import write_gallery
from iq_client.gallery.thumbnails import Thumbnail, thumbnail
from iq_client.ranking import rank
from iq_client.results import Score

EXAMPLES = Path(__file__).parents[1] / "examples" / "photos"
FEW = 200  # photos of the page that the large one is held against
SIDE = 400  # pixels of a photo, of which thumbnails are made
QUANTILES = (0.5, 0.9, 0.99, 1.0)

# Times between frames while the page goes down by a step a frame, and turns at its end.
SCROLL = """async ([frames, step]) => {
  const frame = () => new Promise(requestAnimationFrame);
  const end = () => document.documentElement.scrollHeight - innerHeight;
  const times = [];
  let by = step, before = await frame();
  for (let number = 0; number < frames; number++) {
    if (scrollY + by > end() || scrollY + by < 0) by = -by;
    scrollBy(0, by);
    const now = await frame();
    times.push(now - before);
    before = now;
  }
  return times;
}"""
# Times from a jump to the frame after its cards were drawn.
JUMP = """async (jumps) => {
  const frame = () => new Promise(requestAnimationFrame);
  const times = [];
  for (let number = 1; number <= jumps; number++) {
    const start = performance.now();
    scrollTo(0, document.documentElement.scrollHeight * (number * 0.618 % 1));
    await frame();
    await frame();
    times.push(performance.now() - start);
  }
  return times;
}"""


@dataclass(frozen=True, slots=True)
class Frames:
    """Figures of one page.

    Attributes:
        megabytes: Of the file.
        first: Milliseconds until its first picture was there.
        scrolled: Milliseconds between frames.
        jumped: Milliseconds of jumps.
        elements: Of the page, at the end.
    """

    megabytes: float
    first: float
    scrolled: Sequence[float]
    jumped: Sequence[float]
    elements: int


def write_page(path: Path, photos: int, folder: Path) -> None:
    """A gallery of so many photos; each of the folder's is made small once only."""
    pictures = [_small(photo) for photo in sorted(folder.glob("*.jpg"))]
    made: dict[tuple[int, int], Thumbnail] = {}
    noise = np.random.default_rng(0)

    def open_image(source: str) -> Image.Image:
        return pictures[int(Path(source).stem) % len(pictures)]

    def once(image: Image.Image, most_bytes: int) -> Thumbnail:
        key = (id(image), most_bytes)
        if key not in made:
            made[key] = thumbnail(image, most_bytes)
        return made[key]

    scores = [_score(f"holiday/{number:06}.jpg", noise) for number in range(photos)]
    with mock.patch("iq_client.gallery.thumbnail", once):
        write_gallery(path, rank(scores), open_image=open_image)


def _small(photo: Path) -> Image.Image:
    with Image.open(photo) as image:
        image.thumbnail((SIDE, SIDE))
        return image.convert("RGB")


def _score(source: str, noise: np.random.Generator) -> Score:
    p: npt.NDArray[np.float64] = noise.dirichlet(np.arange(1, 11))
    votes = np.arange(1, 11)
    mean = float(p @ votes)
    return Score(source, mean, float(np.sqrt(p @ (votes - mean) ** 2)), tuple(map(float, p)))


def look(browser: Browser, path: Path, frames: int, step: int, jumps: int) -> Frames:
    """Scrolls a page."""
    page = browser.new_page(viewport={"width": 1280, "height": 860})
    page.set_default_timeout(600_000)
    start = time.perf_counter()
    page.goto(path.as_uri(), wait_until="commit")
    page.locator(".card img").first.wait_for()
    first = 1e3 * (time.perf_counter() - start)
    scrolled = page.evaluate(SCROLL, [frames, step])
    jumped = page.evaluate(JUMP, jumps)
    elements = page.evaluate("document.getElementsByTagName('*').length")
    page.close()
    return Frames(path.stat().st_size / 1e6, first, scrolled, jumped, elements)


def main() -> None:
    """Makes the pages, scrolls them and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=EXAMPLES)
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--step", type=int, default=200, help="pixels a frame")
    parser.add_argument("--jumps", type=int, default=40)
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        rows = []
        for photos in (FEW, arguments.photos):
            path = Path(folder) / f"{photos}.html"
            write_page(path, photos, arguments.folder)
            seen = look(browser, path, arguments.frames, arguments.step, arguments.jumps)
            for what, times in (("a frame", seen.scrolled), ("a jump", seen.jumped)):
                values = [f"{value:.0f}" for value in np.quantile(times, QUANTILES)]
                page = [photos, f"{seen.megabytes:.1f}", f"{seen.first:.0f}", seen.elements]
                rows.append([*page, what, *values])
        browser.close()
    header = ["photos", "MB", "first picture, ms", "elements", "ms of"]
    print(table([*header, *(f"q{100 * share:.0f}" for share in QUANTILES)], rows))


if __name__ == "__main__":
    main()
