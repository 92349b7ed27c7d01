"""A copy of a model repository that a start may write into; the given one may be read-only."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

from iq_tools.errors import InputError

# Weights are linked, everything else is small enough to copy.
_LINKED: Final = frozenset({".onnx", ".plan"})


def copy_repository(repository: Path, work: Path) -> Path:
    """Copies a model repository, its weights linked.

    Args:
        repository: The given one, left unchanged.
        work: Where to make it, in a folder of its own.

    Returns:
        The copy.

    Raises:
        InputError: The folder cannot be written into.
    """
    try:
        work.mkdir(parents=True, exist_ok=True)
        copy = Path(tempfile.mkdtemp(prefix="models-", dir=work))
    except OSError as error:
        raise InputError(
            f"the copy of the repository that is served cannot be made in {work} ({error}); name a "
            f"folder that may be written with --work"
        ) from error

    def place(source: str, target: str) -> None:
        if Path(source).suffix in _LINKED:
            Path(target).symlink_to(Path(source).resolve())
        else:
            shutil.copyfile(source, target)

    shutil.copytree(
        repository,
        copy,
        copy_function=place,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    return copy
