"""Downloads that are whole or not there, and that go on where they broke off."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import requests

from iq_tools.errors import DownloadError

ATTEMPTS: Final = 4
PAUSE: Final = 1.0  # seconds

# Bytes there are so far, and in all where the server says it.
Progress = Callable[[int, int | None], None]

_BLOCK: Final = 2**16  # a block that breaks off is lost
_TIMEOUTS: Final = (10.0, 60.0)  # seconds to connect, and between two blocks
_WORTH_ANOTHER_TRY: Final = (408, 425, 429, 500, 502, 503, 504)
_SUFFIX: Final = ".partial"


class _BrokeOffError(Exception):
    """The server or the network gave up in the middle."""


def _silent(done: int, total: int | None) -> None:
    """Shows nothing."""


def download(
    url: str,
    path: Path,
    *,
    check: Callable[[Path], None],
    progress: Progress = _silent,
    attempts: int = ATTEMPTS,
    pause: float = PAUSE,
) -> None:
    """Downloads a file.

    Until it is whole it is `PATH.partial`, and stays so when the download is broken off, by Ctrl-C
    too; the next call goes on from there if the server can and the file there is the same one.

    Args:
        url: An http or https address; redirects are followed.
        path: Where to; folders are made.
        check: Given the whole file under its partial name, raises what is wrong with it; the file
            is then removed.
        progress: Told how far it is.
        attempts: Tries in a row that bring nothing new before it is given up.
        pause: Seconds before the second try, doubled for each further one.

    Raises:
        DownloadError: No network, no such file, no room, or another process is at it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + _SUFFIX)
    validator = _Validator(partial)
    with _locked(partial) as file, requests.Session() as session:
        try:
            _fill(session, url, file, validator, progress, attempts=attempts, pause=pause)
            os.fsync(file.fileno())
            try:
                check(partial)
            except DownloadError:
                file.truncate(0)
                raise
            partial.replace(path)
            validator.forget()
        finally:
            if not os.fstat(file.fileno()).st_size:
                partial.unlink()
                validator.forget()


def _fill(
    session: requests.Session,
    url: str,
    file: BinaryIO,
    validator: _Validator,
    progress: Progress,
    *,
    attempts: int,
    pause: float,
) -> None:
    """Appends until the file is whole."""
    most = failures = 0
    while True:
        try:
            _append(session, url, file, validator, progress)
            return
        except _BrokeOffError as error:
            size = os.fstat(file.fileno()).st_size
            failures = 1 if size > most else failures + 1
            most = max(most, size)
            if failures >= attempts:
                raise DownloadError(
                    f"{url} broke off {failures} times: {error}. {size} bytes are kept: the same "
                    f"command goes on from there."
                ) from error
            time.sleep(pause * 2 ** (failures - 1))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise DownloadError(
                    f"no room in {Path(file.name).parent} ({error.strerror}): make some, and the "
                    f"same command goes on"
                ) from error
            raise


class _Validator:
    """Mark of the file at the address: another one is another file than was begun."""

    def __init__(self, partial: Path) -> None:
        self._path = partial.with_name(partial.name + ".json")

    def read(self, url: str) -> str | None:
        try:
            kept = json.loads(self._path.read_text())
            return str(kept["validator"]) if kept["url"] == url and kept["validator"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, url: str, response: requests.Response) -> None:
        # A weak tag says that two files mean the same, not that they are the same bytes.
        tag = response.headers.get("ETag", "")
        validator = response.headers.get("Last-Modified") if tag[:2] in ("", "W/") else tag
        self._path.write_text(json.dumps({"url": url, "validator": validator}))

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)


@contextmanager
def _locked(partial: Path) -> Iterator[BinaryIO]:
    """Opens the partial file to append; refuses where another process has it."""
    with partial.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DownloadError(f"another process downloads {partial}: wait for it") from error
        yield file


def _append(
    session: requests.Session,
    url: str,
    file: BinaryIO,
    validator: _Validator,
    progress: Progress,
) -> None:
    """Asks for what is missing and appends it."""
    start = os.fstat(file.fileno()).st_size
    # Compressed on the way, neither lengths nor ranges would be those of the file.
    headers = {"Accept-Encoding": "identity", "User-Agent": "iq-tools"}
    known = validator.read(url)
    if start and known:
        headers |= {"Range": f"bytes={start}-", "If-Range": known}
    try:
        response = session.get(url, headers=headers, stream=True, timeout=_TIMEOUTS)
    except requests.RequestException as error:
        raise _unreachable(url, error, broke_off=start > 0) from error
    with response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            if response.headers.get("Content-Range") == f"bytes */{start}":
                return
            file.truncate(0)
            raise _BrokeOffError("the file there is shorter than what is here of it")
        if response.status_code not in (requests.codes.ok, requests.codes.partial_content):
            raise _refused(url, response)
        if response.status_code == requests.codes.ok:
            if start:
                file.truncate(0)
            start = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            file.truncate(0)
            raise _BrokeOffError("the server sent another part than was asked for")
        validator.write(url, response)
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        _require_room(file, total, start)
        done = start
        progress(done, total)
        try:
            for block in response.iter_content(_BLOCK):
                file.write(block)
                file.flush()
                done += len(block)
                progress(done, total)
        except requests.RequestException as error:
            raise _BrokeOffError(_reason(error)) from error
    if total is not None and done != total:
        raise _BrokeOffError(f"{total} bytes were announced, {done} came")


def _require_room(file: BinaryIO, total: int | None, start: int) -> None:
    folder = Path(file.name).parent
    free = shutil.disk_usage(folder).free
    if total is not None and total - start > free:
        raise DownloadError(
            f"no room in {folder}: {total - start} bytes are missing, {free} are free"
        )


def _refused(url: str, response: requests.Response) -> Exception:
    status = f"{response.status_code} {response.reason}"
    if response.status_code in _WORTH_ANOTHER_TRY:
        return _BrokeOffError(f"the server answers {status}")
    if response.status_code in (404, 410):
        return DownloadError(f"there is no file at {url} any more ({status})")
    return DownloadError(f"the server does not give {url} out: {status}")


def _unreachable(url: str, error: requests.RequestException, *, broke_off: bool) -> Exception:
    if isinstance(error, requests.exceptions.SSLError):
        return DownloadError(f"{url}: no safe connection: {_reason(error)}")
    if isinstance(error, (requests.ConnectionError, requests.Timeout)):
        if broke_off:
            return _BrokeOffError(_reason(error))
        return DownloadError(
            f"cannot reach {url}: {_reason(error)}. Is there a network? Behind a proxy set "
            f"HTTPS_PROXY."
        )
    return DownloadError(f"cannot download {url}: {_reason(error)}")


def _reason(error: BaseException) -> str:
    """The innermost cause: what urllib3 and requests wrap around it helps nobody."""
    while cause := getattr(error, "reason", None) or error.__cause__ or error.__context__:
        if not isinstance(cause, BaseException):
            break
        error = cause
    return str(error) or type(error).__name__
