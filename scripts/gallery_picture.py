"""Takes the README's picture of the gallery: the example photos in Chromium.

    iq-client rank examples/photos --html build/gallery.html
    python scripts/gallery_picture.py build/gallery.html docs/gallery.jpg
"""

from __future__ import annotations

import sys
from pathlib import Path
from shutil import which

from playwright.sync_api import sync_playwright


def main(gallery: Path, picture: Path) -> None:
    """Writes the top of a gallery as a JPEG of 1280 x 720 pixels."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 720}, color_scheme="dark")
        page.goto(gallery.resolve().as_uri())
        page.wait_for_function("[...document.images].every(image => image.naturalWidth)")
        page.wait_for_timeout(2000)  # pictures that come into view are drawn later
        page.screenshot(path=picture, type="jpeg", quality=80)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
