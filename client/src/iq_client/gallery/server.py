"""A gallery from a small web server of this machine, which writes marks as they are made."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import mimetypes
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from PIL import Image

from iq_client.gallery.marks import (
    Mark,
    parse_marks,
    read_marks,
    read_pairs,
    write_marks,
    write_pairs,
)
from iq_client.gallery.render import Picture, flattened, record, render
from iq_client.gallery.thumbnails import MOST_BYTES, thumbnail
from iq_client.metadata.exif import Shot, read_shot
from iq_client.results import Group, RankedImage

_MAX_BODY_BYTES: Final = 32 * 2**20
_HOST: Final = "127.0.0.1"


class GalleryServer:
    """A gallery on the loopback interface, behind a random address that only its user knows.

    Thumbnails and originals are sent as they are looked at; marks and judged pairs are on disk
    before the browser is told that they are.

    Attributes:
        url: The page's address.
    """

    def __init__(
        self,
        picks: Path,
        *,
        title: str,
        open_image: Callable[[str], Image.Image],
        on_change: Callable[[Mark, Mark | None], None] | None = None,
        port: int = 0,
    ) -> None:
        """Begins to listen; the page has no photos yet.

        Args:
            picks: CSV of marks; read where it is there. Judged pairs are beside it, in a file with
                `.pairs` before its ending.
            title: The page's heading.
            open_image: Gives the image of a score's `source`, or raises `OSError`.
            on_change: Called with a photo's mark, and the one that it had before, after the marks
                were written; where it raises `OSError` or `ValueError`, the page says so.
            port: To listen on; 0 for a free one.

        Raises:
            OSError: The file cannot be read, or the port is taken.
            ValueError: The file holds no marks.
        """
        self._picks = picks
        self._pairs = picks.with_suffix(f".pairs{picks.suffix}")
        self._marks = {mark.path: mark for mark in read_marks(picks)} if picks.exists() else {}
        self._judged = read_pairs(self._pairs) if self._pairs.exists() else []
        self._title = title
        self._open_image = open_image
        self._on_change = on_change or (lambda mark, before: None)
        self._sources: list[str] = []  # an address is a place in it
        self._pictures: dict[str, Picture] = {}
        self._page = b""
        self._count = 0
        self._lock = threading.Lock()
        self._token = secrets.token_urlsafe(24)
        self._http = ThreadingHTTPServer((_HOST, port), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://{_HOST}:{self._http.server_port}/{self._token}/"
        self.show([])

    def __enter__(self) -> GalleryServer:
        threading.Thread(target=self._http.serve_forever, name="gallery", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()

    def show(
        self,
        images: Sequence[RankedImage] | Sequence[Group],
        left_out: Mapping[str, int] | None = None,
    ) -> None:
        """Makes the page of these photos; pages that are open offer to show new ones.

        Args:
            images: A ranking, or groups.
            left_out: Counts of files that lie beside the photos, by kind.

        Raises:
            ValueError: The groups are ordered by different keys.
        """
        rows, groups = flattened(images)
        photos = [
            record(row, group, self._picture(row.score.source))
            for row, group in zip(rows, groups, strict=True)
        ]
        text = render(self._title, photos, left_out=left_out, served=True)
        page = text.encode("utf-8", "backslashreplace")
        with self._lock:
            self._page, self._count = page, len(photos)

    def _picture(self, source: str) -> Picture:
        if source in self._pictures:
            return self._pictures[source]
        number = len(self._sources)
        self._sources.append(source)
        shot, size, small = Shot(), None, None
        with (
            contextlib.suppress(OSError, ValueError, SyntaxError, Image.DecompressionBombError),
            self._open_image(source) as image,
        ):
            shot = read_shot(image, source)
            turned = image.getexif().get(0x0112, 1) >= 5  # the orientation swaps the sides
            size = image.size[::-1] if turned else image.size
            small = f"thumbnail/{number}"
        original = f"original/{number}" if Path(source).is_file() else None
        self._pictures[source] = Picture(size, shot, original, small)
        return self._pictures[source]

    # --- what the addresses answer

    def page(self) -> bytes:
        """The page, UTF-8."""
        with self._lock:
            return self._page

    def state(self) -> dict[str, Any]:
        """The number of photos, by which a page finds out that new ones have arrived."""
        with self._lock:
            return {"photos": self._count}

    def marks(self) -> dict[str, Any]:
        """Marks and pairs in the form in which pages send them."""
        with self._lock:
            photos = [
                {"path": mark.path, "flag": mark.flag, "stars": mark.stars}
                for mark in self._marks.values()
            ]
            return {"picks": 1, "photos": photos, "pairs": self._judged}

    def write(self, text: str) -> None:
        """Takes and writes what a page sends: all marks and pairs of its photos.

        Raises:
            OSError: A file cannot be written.
            ValueError: It is something else, or what `on_change` raised.
        """
        sent = parse_marks(text)
        pairs = [_pair(pair) for pair in json.loads(text).get("pairs", [])]
        with self._lock:
            shown = set(self._sources)
            # A photo that is not here now, as on a disk that is away, keeps its mark.
            marks: dict[str, Mark] = {
                path: mark for path, mark in self._marks.items() if path not in shown
            }
            marks |= {mark.path: mark for mark in sent}
            before = self._marks
            judged = [pair for pair in self._judged if not shown.issuperset(pair)] + pairs
            write_marks(self._picks, marks.values())
            self._marks = marks
            if judged or self._judged:
                write_pairs(self._pairs, judged)
                self._judged = judged
            self._tell_changes(before, marks)

    def _tell_changes(self, before: dict[str, Mark], after: dict[str, Mark]) -> None:
        """Tells of each photo whose mark changed; what one of them raises is raised at the end."""
        failed: OSError | ValueError | None = None
        for path in before.keys() | after.keys():
            unmarked = Mark(path, None, 0)
            mark = after.get(path, unmarked)
            if mark == before.get(path, unmarked):
                continue
            try:
                self._on_change(mark, before.get(path))
            except (OSError, ValueError) as error:
                failed = error
        if failed is not None:
            raise failed

    def source(self, number: str) -> str:
        """The photo at an address.

        Raises:
            LookupError: There is none.
        """
        if not (number.isascii() and number.isdigit()):
            raise LookupError(number)
        return self._sources[int(number)]

    def thumbnail(self, number: str) -> bytes:
        """A photo's thumbnail as WebP.

        Raises:
            LookupError: There is no such photo.
            OSError: It cannot be opened.
        """
        with self._open_image(self.source(number)) as image:
            uri = thumbnail(image, MOST_BYTES).data_uri
        return base64.b64decode(uri.partition(",")[2])

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(_Handler):
            gallery = server

        return Handler

    def admits(self, path: str, host: str | None) -> bool:
        """True where a request knows the random address, and came by it and not by another name."""
        first = path.split("/")[1] if path.startswith("/") else ""
        known = hmac.compare_digest(first.encode(), self._token.encode())
        return known and host == f"{_HOST}:{self._http.server_port}"


class _Handler(BaseHTTPRequestHandler):
    gallery: GalleryServer
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds that a browser may leave a connection idle

    def do_GET(self) -> None:
        """Sends the page, its state, its marks, a thumbnail or an original."""
        if not self.gallery.admits(self.path, self.headers.get("Host")):
            self._answer(HTTPStatus.NOT_FOUND, b"no such page")
            return
        what, _, number = self.path.split("/", 2)[2].partition("/")
        try:
            if what == "":
                self._answer(HTTPStatus.OK, self.gallery.page(), "text/html; charset=utf-8")
            elif what in ("state", "marks"):
                value = self.gallery.state() if what == "state" else self.gallery.marks()
                self._answer(HTTPStatus.OK, json.dumps(value).encode(), "application/json")
            elif what == "thumbnail":
                self._answer(HTTPStatus.OK, self.gallery.thumbnail(number), "image/webp", keep=True)
            elif what == "original":
                self._send_file(Path(self.gallery.source(number)))
            else:
                raise LookupError(what)
        except LookupError:
            self._answer(HTTPStatus.NOT_FOUND, b"no such photo")
        except (ValueError, SyntaxError, Image.DecompressionBombError) as error:
            self._answer(HTTPStatus.NOT_FOUND, str(error).encode("utf-8", "backslashreplace"))
        except FileNotFoundError:
            self._answer(HTTPStatus.NOT_FOUND, b"the photo is gone")
        except ConnectionError:
            self.close_connection = True  # the browser went on to another page
        except OSError as error:
            self._answer(HTTPStatus.NOT_FOUND, str(error).encode("utf-8", "backslashreplace"))

    def do_PUT(self) -> None:
        """Takes the marks."""
        length = self.headers.get("Content-Length") or ""
        admitted = self.gallery.admits(self.path, self.headers.get("Host"))
        if not admitted or self.path.split("/")[2:] != ["marks"]:
            self.close_connection = True  # its body is not read
            self._answer(HTTPStatus.NOT_FOUND, b"no such page")
            return
        if not (length.isascii() and length.isdigit() and int(length) <= _MAX_BODY_BYTES):
            self.close_connection = True
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"too many marks")
            return
        try:
            self.gallery.write(self.rfile.read(int(length)).decode("utf-8"))
        except ValueError as error:
            self._answer(HTTPStatus.BAD_REQUEST, str(error).encode("utf-8", "backslashreplace"))
        except OSError as error:
            self._answer(HTTPStatus.INSUFFICIENT_STORAGE, str(error.strerror).encode())
        else:
            self._answer(HTTPStatus.NO_CONTENT, b"")

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Stays silent: addresses hold the random part."""

    def _send_file(self, path: Path) -> None:
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        with path.open("rb") as stream:
            self._head(HTTPStatus.OK, path.stat().st_size, kind, keep=True)
            shutil.copyfileobj(stream, self.wfile)

    def _answer(
        self, status: HTTPStatus, body: bytes, kind: str = "text/plain", *, keep: bool = False
    ) -> None:
        self._head(status, len(body), kind, keep=keep)
        self.wfile.write(body)

    def _head(self, status: HTTPStatus, length: int, kind: str, *, keep: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.send_header("Cache-Control", "private, max-age=3600" if keep else "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        # A photo's file that is a page in truth, such as SVG, may do nothing.
        if kind != "text/html; charset=utf-8":
            self.send_header("Content-Security-Policy", "sandbox; default-src 'none'")
        self.end_headers()


def _pair(value: Any) -> tuple[str, str]:
    match value:
        case [str(winner), str(loser)]:
            return winner, loser
    raise ValueError("a judged pair is not two names")
