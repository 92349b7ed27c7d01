"""Images behind http and https addresses."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from iq_client.errors import InputError
from iq_client.images.inputs import InputOptions, expand


def error_of(item: Any, **options: Any) -> InputError:
    """The error of the only source of an input."""
    (source,) = expand(item, InputOptions(**options))
    with pytest.raises(InputError) as caught:
        source.load()
    return caught.value


class Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/photo.jpg")
            self.end_headers()
        elif self.path == "/to-file":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
        elif self.path == "/cut-off":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x")
        elif self.path in ("/photo.jpg", "/endless"):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"photo" if self.path == "/photo.jpg" else b"x" * 5000)
        else:
            self.send_error(404)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_urls(site: str) -> None:
    options = InputOptions(allow_urls=True, max_url_bytes=1000)
    for page in ("photo.jpg", "moved"):
        (source,) = expand(f"{site}/{page}", options)
        assert source.load() == b"photo"
        assert source.name == f"{site}/{page}"


@pytest.mark.parametrize(
    ("page", "code"),
    [
        ("nothing", "NOT_FOUND"),
        ("endless", "TOO_LARGE"),
        ("to-file", "NOT_READABLE"),
        ("cut-off", "NOT_READABLE"),
    ],
)
def test_urls_that_bring_nothing(site: str, page: str, code: str) -> None:
    assert error_of(f"{site}/{page}", allow_urls=True, max_url_bytes=1000).code == code
