"""Image files: found in folders and by patterns, and read."""

from __future__ import annotations

import fnmatch
import functools
import glob
import itertools
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from iq_client.codes import ErrorCode
from iq_client.errors import InputError
from iq_client.images.kinds import HEIF, PHOTOS, RAW, SERVED, left_out_as, needs_decoder
from iq_client.images.source import Source, broken
from iq_client.wire.protocol import MAX_MESSAGE_BYTES

_READ_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_ANY_DEPTH: Final = "**"
_MIN_READ: Final = 4096  # where the size is not known beforehand, as in /proc
# Folders that storage and systems fill with copies and thumbnails of photos, or with deleted ones.
SYSTEM_FOLDERS: Final = frozenset({
    "@eadir", "#recycle", "$recycle.bin", "__macosx", ".thumbnails", "@recycle",
    "@recently-snapshot", "#snapshot", "lost+found", "system volume information",
})  # fmt: skip

LeaveOut: TypeAlias = Callable[[str], None]


def find_files(path: str, on_left_out: LeaveOut | None = None) -> Iterator[Source]:
    """The image files behind a path.

    Args:
        path: A file; a folder, which is searched recursively for photos, hidden ones and folders of
            the system left out; or a glob pattern. A RAW or HEIC file beside a JPEG of the same
            stem is the same photo.
        on_left_out: Called for each file or folder that is left out, with the kind that it is of.

    Yields:
        Sources sorted by name within a folder or a pattern. What is not there or cannot be listed
        becomes a source whose `load` raises.
    """
    leave_out = on_left_out or (lambda kind: None)
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116  half the time of Path.stat, a million times
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        if isinstance(error, FileNotFoundError) and glob.has_magic(path):
            yield from _matching(path, leave_out)
        else:
            yield broken(path, *_explain(error))
        return
    if stat.S_ISDIR(mode):
        yield from _walk(path, leave_out)
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


def decode(data: bytes, suffix: str = "") -> bytes:
    """A photo as the bytes that are sent: the file itself, or a JPEG where servers cannot read it.

    Args:
        data: The bytes of a file.
        suffix: The end of its name in lower case, such as `.nef`; empty where it has none.

    Raises:
        InputError: `UNSUPPORTED` where a decoder is not installed or there is none; what the
            decoder raises.
    """
    kind = needs_decoder(data, suffix)
    if kind is None:
        return data
    if kind == "HEIC":
        from iq_client.images.heif import decode_heif  # brings Pillow, which takes a while

        return decode_heif(data)
    if kind == "RAW":
        from iq_client.images.raw import read_preview

        return read_preview(data)
    raise InputError("UNSUPPORTED", f"{kind} files are not served; convert to JPEG or PNG")


def _file(path: str) -> Source:
    return Source(path, functools.partial(_read_photo, path), is_file=True)


def _read_photo(path: str) -> bytes:
    return decode(read_file(path), _suffix(path))


def _matching(pattern: str, leave_out: LeaveOut) -> Iterator[Source]:
    given = pattern.split(os.sep)  # noqa: PTH206  Path would drop a `./`
    parts = [part for before, part in itertools.pairwise(["", *given])
             if (before, part) != (_ANY_DEPTH, _ANY_DEPTH)]  # fmt: skip
    matches = sorted(set(_expand("", parts, leave_out)))
    if not matches:
        yield broken(pattern, "NOT_FOUND", "no file matches the pattern")
    for match in matches:
        # `**` matches folders as well as the files in them, which come by themselves.
        if not os.path.isdir(match):  # noqa: PTH112
            yield _file(match)
        elif _ANY_DEPTH not in parts:
            yield from _walk(match, leave_out)


def _expand(base: str, parts: Sequence[str], leave_out: LeaveOut) -> Iterator[str]:
    """The paths below `base` that a pattern's parts match; like `glob`, with two differences.

    A part that exists as it is written is taken so, such as a folder `Trip [2020]`. And `**` does
    not follow linked folders: one may lead back here, and every photo is meant once.
    """
    if not parts:
        yield base
        return
    part, *rest = parts
    path = f"{base}{part}"
    if part != _ANY_DEPTH and (not glob.has_magic(part) or os.path.lexists(path)):
        if not part or os.path.lexists(path):
            yield from _expand(path + os.sep if rest else path, rest, leave_out)
        return
    try:
        with os.scandir(base or os.curdir) as found:
            entries = list(found)
    except OSError:  # as glob does: a pattern matches what can be seen
        return
    hidden = part.startswith(".")
    shown = [entry for entry in entries if hidden or not entry.name.startswith(".")]
    if part != _ANY_DEPTH:
        for name in fnmatch.filter((entry.name for entry in shown), part):
            yield from _expand(f"{base}{name}{os.sep if rest else ''}", rest, leave_out)
        return
    yield from _expand(base, rest or ["*"], leave_out)
    for entry in shown:
        if not entry.is_dir(follow_symlinks=False):
            continue
        if entry.name.lower() in SYSTEM_FOLDERS:
            leave_out("system folder")
        else:
            yield from _expand(f"{base}{entry.name}{os.sep}", parts, leave_out)


def _walk(folder: str, leave_out: LeaveOut) -> Iterator[Source]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield broken(folder, *_explain(error))
        return
    served = {stem(entry.name) for entry in found if _suffix(entry.name) in SERVED}
    developed = served | {stem(entry.name) for entry in found if _suffix(entry.name) in HEIF}
    for entry in found:
        suffix = _suffix(entry.name)
        if entry.name.lower() in SYSTEM_FOLDERS:
            leave_out("system folder")
        elif entry.name.startswith("."):
            if suffix in PHOTOS:
                leave_out("hidden photo")
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, leave_out)
        elif entry.is_dir():  # a linked folder may lead back here
            leave_out("linked folder")
        elif suffix not in PHOTOS:
            leave_out(left_out_as(suffix))
        elif stem(entry.name) in (developed if suffix in RAW else served if suffix in HEIF else ()):
            leave_out("RAW or HEIC of a photo that is there")
        else:
            yield _file(entry.path)


def stem(name: str) -> str:
    """Common name of the files of one shot: without its ending, in lower case."""
    return os.path.splitext(name)[0].lower()  # noqa: PTH122  half the time of Path


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122


def _explain(error: Exception) -> tuple[ErrorCode, str]:
    if isinstance(error, FileNotFoundError):
        return "NOT_FOUND", "no such file or folder"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return "NOT_READABLE", text
