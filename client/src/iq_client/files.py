"""Files that are replaced whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

_PARTIAL: Final = ".partial"
_MAX_NAME_BYTES: Final = 255


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Writes `NAME.partial` beside a file, which takes the file's place when the block ends.

    Where the block raises `OSError`, such as on a full disk, the partial file is removed. Where it
    ends otherwise, or the process is killed, what was written stays in it until the next time. In
    each case the file is what it was.

    A link is followed. A device or a pipe, such as `/dev/stdout`, is written as it is.

    Args:
        path: The file, in a folder that exists.

    Yields:
        A stream to write to.

    Raises:
        OSError: Another process is replacing the file, the disk is full, or the folder cannot be
            written to.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as stream:
            yield stream
        return
    path = path.resolve()
    partial = path.with_name(fitting(path.name, _MAX_NAME_BYTES - len(_PARTIAL)) + _PARTIAL)
    with _alone(partial) as stream:
        try:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            if path.exists():
                partial.chmod(path.stat().st_mode & 0o7777)
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # what could not be written cannot be now either
                stream.close()
            raise


def write_file(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all; errors as of `replacing`."""
    with replacing(path) as stream:
        stream.write(data)


def lock(stream: BinaryIO) -> None:
    """Keeps a file to this process until the stream is closed.

    Raises:
        OSError: Another process has it.
    """
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(error.errno, "another process writes to it", stream.name) from error
    except OSError:
        pass  # a file system without locks


def fitting(name: str, size: int) -> str:
    """A file's name with its stem cut so that no more than `size` bytes are left."""
    stem, ending = Path(name).stem, Path(name).suffix
    while stem and len(os.fsencode(stem + ending)) > size:
        stem = stem[:-1]
    return stem + ending


@contextmanager
def _alone(path: Path) -> Iterator[BinaryIO]:
    """An empty file that no other process is writing."""
    while True:
        with path.open("ab") as stream:
            lock(stream)
            # The one before may have renamed it between our opening and locking it.
            if not path.exists() or not os.path.samestat(path.stat(), os.fstat(stream.fileno())):
                continue
            stream.truncate(0)
            yield stream
            return
