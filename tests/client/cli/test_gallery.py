"""The option --html."""

from __future__ import annotations

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from PIL import Image
from tests.client.cli.conftest import Run
from tests.client.conftest import full_disk


def test_the_gallery_of_a_ranking(run: Run, photos: Path, tmp_path: Path) -> None:
    run("rank", photos, "--html", tmp_path / "out.html")
    assert "Photos by quality" in (tmp_path / "out.html").read_text()


def test_the_gallery_shows_what_came_from_a_url(run: Run, tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    Image.new("RGB", (30, 20)).save(served / "a.png")
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, code: object = "-", size: object = "-") -> None:
            asked.append(self.path)

    handler = functools.partial(Handler, directory=served)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}/a.png"
        run("rank", url, "--allow-urls", "--html", tmp_path / "out.html")
        server.shutdown()
    assert asked == ["/a.png"]  # once, for score and thumbnail
    page = (tmp_path / "out.html").read_text()
    assert url in page
    assert "data:image/webp;base64," in page


def test_a_full_disk_costs_no_earlier_gallery(run: Run, photos: Path, tmp_path: Path) -> None:
    page = tmp_path / "page" / "gallery.html"
    page.parent.mkdir()
    page.write_text("before")
    with full_disk(10_000):
        failed = run("rank", photos, "--html", page, code=1)
    assert str(page) in failed.stderr
    assert page.read_text() == "before"
    assert list(page.parent.iterdir()) == [page]
