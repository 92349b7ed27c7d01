"""The option --html."""

from __future__ import annotations

import functools
import threading
from collections import Counter
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image, ImageFilter
from tests.client.cli.conftest import Run
from tests.client.conftest import full_disk

from iq_client.cli import pictures
from iq_client.images import files


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


@pytest.mark.parametrize("command", ["rank", "groups"])
def test_score_reasons_and_thumbnail_share_one_reading(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    for number in range(6):
        blurred = Image.effect_noise((400, 300), 90).filter(ImageFilter.GaussianBlur(4 + number))
        blurred.save(folder / f"{number}.jpg")
    (folder / "6.jpg").write_bytes(b"no photo, but the stand-in scores it")
    reads: Counter[str] = Counter()
    read_file = files.read_file

    def counted(path: str) -> bytes:
        reads[Path(path).name] += 1
        return read_file(path)

    monkeypatch.setattr(files, "read_file", counted)
    page = tmp_path / "out.html"
    found = run(command, folder, "--html", page, "--format", "json").stdout
    assert '"small"' in found
    text = page.read_text()
    assert text.count("data:image/webp;base64,") == 6
    assert '"reasons":["' in text
    once = {f"{number}.jpg": 1 for number in range(6)}
    assert {name: reads[name] for name in once} == once
    # What has no copy is read again: what cannot be decoded, and where there is no more room.
    monkeypatch.setattr(pictures, "_COPIES_BYTES", 0)
    reads.clear()
    assert run(command, folder, "--html", page, "--format", "json").stdout == found
    assert page.read_text().count("data:image/webp;base64,") == 6
    assert {name: reads[name] for name in once} == dict.fromkeys(once, 2)


def test_a_full_disk_costs_no_earlier_gallery(run: Run, photos: Path, tmp_path: Path) -> None:
    page = tmp_path / "page" / "gallery.html"
    page.parent.mkdir()
    page.write_text("before")
    with full_disk(10_000):
        failed = run("rank", photos, "--html", page, code=1)
    assert str(page) in failed.stderr
    assert page.read_text() == "before"
    assert list(page.parent.iterdir()) == [page]
