"""Image files: found in folders and by patterns, and read."""

from __future__ import annotations

import functools
import glob
import os
import stat
from collections.abc import Iterator
from typing import Final

from iq_client.codes import ErrorCode
from iq_client.errors import InputError
from iq_client.images.source import Source, broken
from iq_client.wire.protocol import MAX_MESSAGE_BYTES

_READ_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_MIN_READ: Final = 4096  # where the size is not known beforehand, as in /proc

# What a folder is searched for. A file that is named itself is sent whatever its name.
EXTENSIONS: Final = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".avif", ".bmp", ".tif",
    ".tiff", ".jp2", ".j2k", ".ppm", ".pgm", ".pnm", ".ico", ".tga",
})  # fmt: skip


def find_files(path: str) -> Iterator[Source]:
    """The image files behind a path.

    Args:
        path: A file; a folder, which is searched recursively for image files, hidden ones left
            out; or a glob pattern.

    Yields:
        Sources sorted by name within a folder or a pattern. What is not there or cannot be listed
        becomes a source whose `load` raises.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  half the time of Path.stat, a million times
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        if isinstance(error, FileNotFoundError) and glob.has_magic(path):
            yield from _matching(path)
        else:
            yield broken(path, *_explain(error))
        return
    if stat.S_ISDIR(mode):
        yield from _walk(path)
    else:
        yield _file(path)


def read_file(path: str) -> bytes:
    """The bytes of a file.

    Raises:
        InputError: `NOT_FOUND`, `NOT_READABLE`, or `TOO_LARGE` for any request.
    """
    # The system's calls themselves: half the time of a Python file object. Not blocking, because
    # opening a pipe without a writer would wait for ever.
    try:
        descriptor = os.open(path, _READ_FLAGS)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise InputError("NOT_READABLE", "not a regular file")
            if status.st_size > MAX_MESSAGE_BYTES:
                raise InputError(
                    "TOO_LARGE", f"{status.st_size} bytes are more than a request holds"
                )
            parts = []
            while part := os.read(descriptor, max(status.st_size + 1, _MIN_READ)):
                parts.append(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise InputError(*_explain(error)) from error


def _file(path: str) -> Source:
    return Source(path, functools.partial(read_file, path), is_file=True)


def _matching(pattern: str) -> Iterator[Source]:
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  keeps names as given
    if not matches:
        yield broken(pattern, "NOT_FOUND", "no file matches the pattern")
    for match in matches:
        # `**` matches folders as well as the files in them, which come by themselves.
        if not os.path.isdir(match):  # noqa: PTH112
            yield _file(match)
        elif "**" not in pattern:
            yield from _walk(match)


def _walk(folder: str) -> Iterator[Source]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield broken(folder, *_explain(error))
        return
    for entry in found:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):  # a linked folder may lead back here
            yield from _walk(entry.path)
        elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS and not entry.is_dir():  # noqa: PTH122
            yield _file(entry.path)


def _explain(error: Exception) -> tuple[ErrorCode, str]:
    if isinstance(error, FileNotFoundError):
        return "NOT_FOUND", "no such file or folder"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return "NOT_READABLE", text
