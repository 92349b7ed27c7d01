"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Replaces a file or a folder in one step.

    The block makes `NAME.partial` beside it; that is brought to the disk and takes the place of
    what was there. Where the block raises, what was there stays, and the partial one is removed; a
    process killed at any moment leaves it to the next writer.

    A link is followed. A device or a pipe, such as `/dev/stdout`, is written as it is.

    Args:
        path: File or folder to write, in a folder that exists. An older folder is set aside as
            `NAME.old` while the new one takes its name: two folders cannot be exchanged in one
            step.

    Yields:
        The path to write to, at which there is nothing yet.

    Raises:
        FileNotFoundError: The block wrote nothing.
        OSError: The disk is full, the place cannot be written, or a folder is where a file is to
            be, or the other way round.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        yield path
        return
    path = path.resolve()
    partial, old = (path.with_name(path.name + end) for end in (".partial", ".old"))
    _remove(partial)
    try:
        yield partial
        _sync(partial)
        if partial.is_dir() and path.is_dir():
            _remove(old)
            path.rename(old)
            try:
                partial.rename(path)
            except OSError:
                old.rename(path)
                raise
            _remove(old)
        else:
            partial.replace(path)
    except BaseException:
        _remove(partial)
        raise
    _flush(path.parent)


def _remove(path: Path) -> None:
    """Removes a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Brings a file, or a folder with all that is in it, to the disk."""
    if path.is_dir():
        for each in path.iterdir():
            _sync(each)
    _flush(path)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
