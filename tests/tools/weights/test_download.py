"""Downloads from a real server that breaks off, changes its mind and lies."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from iq_tools.cli import cli
from iq_tools.errors import DownloadError
from iq_tools.weights.download import download
from iq_tools.weights.published import Source, fetch

SIGNATURE = b"\x89HDF\r\n\x1a\n"
CONTENT = SIGNATURE + np.random.default_rng(0).bytes(700_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """One file and the server's habits."""

    content: bytes = CONTENT
    tag: str | None = '"first"'
    ranges: bool = True
    break_after: list[int] = field(default_factory=list)  # bytes sent of each answer in turn
    statuses: list[int] = field(default_factory=list)  # of the first answers
    surplus: int = 0  # bytes announced that do not come
    other_range: bool = False
    pause: float = 0.0  # seconds after each block
    asked: list[str | None] = field(default_factory=list)  # the ranges that were asked for
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        site, asked = self.site, self.headers.get("Range")
        site.asked.append(asked)
        if site.statuses:
            self.send_error(site.statuses.pop(0))
            return
        start, content = 0, site.content
        if asked and site.ranges and self.headers.get("If-Range") in (None, site.tag):
            found = re.fullmatch(r"bytes=(\d+)-", asked)
            assert found
            start = int(found[1]) + site.other_range
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            end = f"{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", f"bytes {start}-{end}")
        if site.tag:
            self.send_header("ETag", site.tag)
        self.send_header("Content-Length", str(len(content) - start + site.surplus))
        self.end_headers()
        body = content[start:]
        if site.break_after:
            body = body[: site.break_after.pop(0)]
        self.close_connection = True
        for block in range(0, len(body), 50_000):
            try:
                self.wfile.write(body[block : block + 50_000])
            except ConnectionError:  # the other side has had enough
                return
            time.sleep(site.pause)

    def log_message(self, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    site.url = f"http://127.0.0.1:{server.server_port}/weights.h5"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "siamese-nima" / "weights"


def get(site: Site, path: Path, **options: object) -> object:
    return fetch(Source(site.url), path, pause=0.0, **options)  # type: ignore[arg-type]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["weights", *(str(each) for each in arguments)])


def test_a_file_comes_whole_with_its_record_and_only_once(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "w.h5"
    seen: list[tuple[int, int | None]] = []
    source = Source(site.url, "mobilenet", "nearest", SHA256)
    fetched = fetch(source, path, progress=lambda done, total: seen.append((done, total)))
    assert (fetched.sha256, fetched.pinned, fetched.downloaded) == (SHA256, True, True)
    assert path.read_bytes() == CONTENT
    assert json.loads((path.parent / "w.h5.json").read_text()) == {
        "url": site.url, "sha256": SHA256, "bytes": len(CONTENT),
        "tower": "mobilenet", "interpolation": "nearest",
    }  # fmt: skip
    assert names(path.parent) == {"w.h5", "w.h5.json"}
    assert seen[0] == (0, len(CONTENT)) and seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    again = fetch(source, path)
    assert not again.downloaded
    assert site.asked == [None]


def test_what_breaks_off_goes_on(site: Site, tmp_path: Path) -> None:
    site.break_after = [100_000, 250_000]
    get(site, tmp_path / "w.h5")
    assert (tmp_path / "w.h5").read_bytes() == CONTENT
    first, second, third = site.asked
    assert first is None and second and third
    assert 0 < int(second[6:-1]) <= 100_000 < int(third[6:-1]) <= 350_000


def test_without_ranges_it_starts_again(site: Site, tmp_path: Path) -> None:
    site.break_after, site.ranges = [100_000], False
    get(site, tmp_path / "w.h5")
    assert (tmp_path / "w.h5").read_bytes() == CONTENT


def test_given_up_and_taken_up_by_the_next_call(site: Site, tmp_path: Path) -> None:
    site.break_after = [100_000, 0, 0]
    with pytest.raises(DownloadError, match="bytes are kept"):
        get(site, tmp_path / "w.h5", attempts=2)
    kept = (tmp_path / "w.h5.partial").stat().st_size
    site.break_after = []
    get(site, tmp_path / "w.h5")
    assert 0 < kept <= 100_000
    assert site.asked[-1] == f"bytes={kept}-"
    assert (tmp_path / "w.h5").read_bytes() == CONTENT
    assert names(tmp_path) == {"w.h5", "w.h5.json"}


@pytest.mark.parametrize("tag", ['"second"', 'W/"first"', None])
def test_another_file_at_the_address_is_never_joined_on(
    site: Site, tmp_path: Path, tag: str | None
) -> None:
    site.break_after = [100_000]
    if tag != '"second"':
        site.tag = tag
    with pytest.raises(DownloadError):
        get(site, tmp_path / "w.h5", attempts=1)
    site.tag, site.content = tag, SIGNATURE + bytes(300_000)
    get(site, tmp_path / "w.h5")
    assert (tmp_path / "w.h5").read_bytes() == site.content


def test_a_partial_file_longer_than_the_file_is_dropped(site: Site, tmp_path: Path) -> None:
    site.break_after = [400_000]
    with pytest.raises(DownloadError):
        get(site, tmp_path / "w.h5", attempts=1)
    site.content = CONTENT[:300_000]  # under the same tag: the server breaks its word
    get(site, tmp_path / "w.h5")
    assert (tmp_path / "w.h5").read_bytes() == CONTENT[:300_000]


def test_all_but_the_rename_was_done(site: Site, tmp_path: Path) -> None:
    site.break_after = [100_000]
    with pytest.raises(DownloadError):
        get(site, tmp_path / "w.h5", attempts=1)
    (tmp_path / "w.h5.partial").write_bytes(CONTENT)
    get(site, tmp_path / "w.h5", sha256=SHA256)
    assert (tmp_path / "w.h5").read_bytes() == CONTENT


def test_another_part_than_was_asked_for_is_not_joined_on(site: Site, tmp_path: Path) -> None:
    site.break_after, site.other_range = [100_000], True
    get(site, tmp_path / "w.h5")
    assert (tmp_path / "w.h5").read_bytes() == CONTENT


def test_a_wrong_length_is_noticed(site: Site, tmp_path: Path) -> None:
    site.surplus = 10
    with pytest.raises(DownloadError, match="broke off 2 times"):
        get(site, tmp_path / "w.h5", attempts=2)
    assert not (tmp_path / "w.h5").exists()


def test_a_wrong_sum_leaves_nothing(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=f"has the sha256 {SHA256}, not {'0' * 64}"):
        get(site, tmp_path / "w.h5", sha256="0" * 64)
    assert names(tmp_path) == set()


def test_a_page_instead_of_weights_is_refused(site: Site, tmp_path: Path) -> None:
    site.content = b"<!DOCTYPE html><title>Sign in</title>"
    with pytest.raises(DownloadError, match="no HDF5 file: it starts with b'<!DOCTYP'"):
        get(site, tmp_path / "w.h5")
    assert names(tmp_path) == set()


@pytest.mark.parametrize(
    ("statuses", "message"),
    [
        ([404], "no file at .* any more"),
        ([410], "no file at"),
        ([403], "does not give .* out: 403"),
    ],
)
def test_refusals_are_told_at_once(
    site: Site, tmp_path: Path, statuses: list[int], message: str
) -> None:
    site.statuses = statuses
    with pytest.raises(DownloadError, match=message):
        get(site, tmp_path / "w.h5")
    assert len(site.asked) == 1
    assert names(tmp_path) == set()


def test_a_busy_server_is_asked_again(site: Site, tmp_path: Path) -> None:
    site.statuses = [503, 429]
    get(site, tmp_path / "w.h5")
    assert (tmp_path / "w.h5").read_bytes() == CONTENT


def test_no_network(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, not listening: nobody answers
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/w.h5"
        with pytest.raises(DownloadError, match=r"cannot reach .*HTTPS_PROXY"):
            fetch(Source(url), tmp_path / "w.h5")
    with pytest.raises(DownloadError, match="cannot reach"):
        fetch(Source("https://no-such-host.invalid/w.h5"), tmp_path / "w.h5")
    assert names(tmp_path) == set()


def test_a_full_disk(site: Site, tmp_path: Path) -> None:
    (tmp_path / "w.h5.partial").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match=r"no room in .*No space left"):
        get(site, tmp_path / "w.h5")
    site.surplus = 2**60
    with pytest.raises(DownloadError, match="bytes are missing"):
        get(site, tmp_path / "v.h5")


def test_two_processes_do_not_write_one_file(site: Site, tmp_path: Path) -> None:
    started, refused = threading.Event(), []

    def check(file: Path) -> None:
        started.set()
        try:
            download(site.url, tmp_path / "w.h5", check=lambda file: None)
        except DownloadError as error:
            refused.append(str(error))

    download(site.url, tmp_path / "w.h5", check=check)
    assert started.is_set()
    assert "another process" in refused[0]
    assert (tmp_path / "w.h5").read_bytes() == CONTENT


def test_ctrl_c_keeps_what_is_there(site: Site, tmp_path: Path, cache: Path) -> None:
    site.pause = 0.2
    command = [sys.executable, "-m", "iq_tools", "weights", "fetch", site.url]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True,
        # A background job of a shell ignores the signal, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    partial = cache / "127.0.0.1" / "weights.h5.partial"
    while not (partial.exists() and partial.stat().st_size):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "the same command goes on" in said
    kept = partial.stat().st_size
    assert CONTENT.startswith(partial.read_bytes())
    site.pause = 0.0
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert site.asked[-1] == f"bytes={kept}-"
    assert (cache / "127.0.0.1" / "weights.h5").read_bytes() == CONTENT


def test_a_file_that_is_there_is_checked(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    get(site, path)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(DownloadError, match="delete it, fetch again"):
        get(site, path)
    with pytest.raises(DownloadError, match="came from http"):
        fetch(Source("https://example.org/w.h5"), path)
    (tmp_path / "w.h5.json").unlink()
    with pytest.raises(DownloadError, match=f"not {SHA256}"):
        get(site, path, sha256=SHA256)
    assert get(site, path).sha256 == hashlib.sha256(CONTENT[:-1]).hexdigest()  # type: ignore[attr-defined]


def test_the_command_tells_sum_and_path(site: Site, cache: Path) -> None:
    result = run("fetch", site.url, "--sha256", SHA256.upper())
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == [str(cache / "127.0.0.1" / "weights.h5")]
    assert f"sha256 {SHA256}, as it should be" in result.stderr
    assert "no sum is known" in run("fetch", site.url).stderr
    elsewhere = cache.parent / "there.h5"
    assert run("fetch", site.url, "--output", elsewhere).exit_code == 0
    assert elsewhere.read_bytes() == CONTENT


def test_the_command_says_what_cannot_be(site: Site, tmp_path: Path, cache: Path) -> None:
    for name, said in (
        ("idealo/nothing", "idealo/mobilenet-aesthetic"),
        ("ftp://example.org/w.h5", "give an https address"),
        ("https://example.org/w.pth", "does not end in .h5"),
    ):
        result = run("fetch", name)
        assert result.exit_code == DownloadError.exit_code
        assert said in result.output
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where a folder is to be")
    result = run("fetch", site.url)
    assert result.exit_code == 1
    assert str(cache) in result.output
