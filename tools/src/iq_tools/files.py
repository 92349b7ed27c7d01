"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_MODE_OF_NEW_FILES = 0o644


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that no reader ever sees half of it.

    Args:
        path: Where to; folders are made as needed.
        data: The whole content.

    Raises:
        OSError: The folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(_MODE_OF_NEW_FILES)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
