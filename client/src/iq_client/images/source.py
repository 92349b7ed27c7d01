"""One image that has not been read yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from iq_client.codes import ErrorCode
from iq_client.errors import InputError


@dataclass(frozen=True, slots=True)
class Source:
    """One image that has not been read yet.

    Attributes:
        name: The `source` of its score.
        load: Reads it: the bytes of an encoded image file. Raises `InputError` where that fails.
        is_file: Whether `name` is the path of a file.
    """

    name: str
    load: Callable[[], bytes]
    is_file: bool = False

    @property
    def path(self) -> Path | None:
        """The file, where it is one."""
        return Path(self.name) if self.is_file else None


def broken(name: str, code: ErrorCode, message: str) -> Source:
    """A source whose `load` raises `InputError`: what is wrong with it is told in its turn."""

    def load() -> bytes:
        raise InputError(code, message)

    return Source(name, load)
