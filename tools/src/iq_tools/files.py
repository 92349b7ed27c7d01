"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_MODE_OF_NEW_FILES = 0o644


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that no reader ever sees half of it.

    Args:
        path: Where to; folders are made as needed.
        data: The whole content.

    Raises:
        OSError: The folder cannot be written to, or the disk is full; names the file.
    """
    with staged({path: data}):
        pass


@contextmanager
def staged(contents: Mapping[Path, bytes]) -> Iterator[None]:
    """Writes files beside their places, where they are put when the block ends.

    A full disk is met before the block: then nothing has changed.

    Args:
        contents: The whole contents by path, in the order in which they are to appear; folders are
            made as needed.

    Raises:
        OSError: A folder cannot be written to, or the disk is full; names the file.
    """
    written: dict[Path, Path] = {}
    try:
        for path, data in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            written[path] = Path(name)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from error
            written[path].chmod(_MODE_OF_NEW_FILES)
        yield
        for path, temporary in written.items():
            temporary.replace(path)
    except BaseException:
        for temporary in written.values():
            temporary.unlink(missing_ok=True)
        raise
