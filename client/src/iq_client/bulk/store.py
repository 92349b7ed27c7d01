"""Folders on any file system that fsspec knows, whose files appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iq_client.errors import BulkError


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that is written to by many at once.

    Attributes:
        fs: Its fsspec file system.
        path: Its path on that.
    """

    fs: Any
    path: str

    @property
    def url(self) -> str:
        """Its address; a plain path on this machine."""
        return url_of(self.fs, self.path)

    def names(self) -> set[str]:
        """The names of the files in it, none where it is not there yet.

        Raises:
            BulkError: It cannot be listed.
        """
        with _explained("list", self.url):
            try:
                entries = self.fs.ls(self.path, detail=True, refresh=True)
            except FileNotFoundError:
                return set()
            return {
                entry["name"].rsplit("/", 1)[-1] for entry in entries if entry["type"] == "file"
            }

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, None where there is no such file.

        Raises:
            BulkError: It cannot be read.
        """
        with _explained("read", self.join(name)):
            try:
                data: bytes = self.fs.cat_file(self.join(name))
            except FileNotFoundError:
                return None
            return data

    def join(self, name: str) -> str:
        """The path of a file of it, on its file system."""
        return f"{self.path}/{name}"

    def write(self, name: str, data: bytes) -> None:
        """Writes a file, in the place of an earlier one: readers see the one or the other.

        On this machine a temporary file, made durable and renamed; elsewhere a single finished
        upload.

        Raises:
            BulkError: It cannot be written; what was there before still is.
        """
        with _explained("write", self.join(name)):
            if self._local:
                with self._unfinished(name, data) as unfinished:
                    unfinished.replace(self.join(name))
            else:
                self.fs.pipe_file(self.join(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Writes a file unless there is one already.

        Of several that try at once on this machine or S3 one succeeds; other stores only look
        before they write.

        Returns:
            True where it was written.

        Raises:
            BulkError: It cannot be written.
        """
        with _explained("write", self.join(name)):
            if self._local:
                with self._unfinished(name, data) as unfinished:
                    try:
                        os.link(unfinished, self.join(name))
                    except FileExistsError:
                        return False
                return True
            if self.fs.exists(self.join(name)):
                return False
            try:
                self.fs.pipe_file(self.join(name), data, mode="create")
            except FileExistsError:
                return False
            return True

    @property
    def _local(self) -> bool:
        return is_local(self.fs)

    @contextlib.contextmanager
    def _unfinished(self, name: str, data: bytes) -> Iterator[Path]:
        """A durable file under a name that nobody looks at, removed afterwards."""
        target = Path(self.join(name))
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}")
        try:
            with unfinished.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            yield unfinished
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # the name itself
            finally:
                os.close(folder)
        finally:
            unfinished.unlink(missing_ok=True)


def open_folder(url: str) -> Folder:
    """The folder at an address, which need not be there yet.

    Raises:
        BulkError: Its file system is not known or lacks its package.
    """
    return Folder(*open_path(url))


def open_path(url: str) -> tuple[Any, str]:
    """The file system of an address, and the path on it.

    Raises:
        BulkError: The file system is not known or lacks its package.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise BulkError(
            "bulk needs fsspec and pyarrow: pip install 'iq-client[cloud,parquet]'"
        ) from error
    try:
        # What others write meanwhile is to be seen, and a listing may be larger than memory.
        fs, path = url_to_fs(url, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise BulkError(f"cannot use {url}: {error}") from error
    return fs, path.rstrip("/") or "/"


def url_of(fs: Any, path: str) -> str:
    """The address of a path; a plain path on this machine."""
    return path if is_local(fs) else str(fs.unstrip_protocol(path))


def is_local(fs: Any) -> bool:
    """True for the file system of this machine."""
    protocol = fs.protocol
    return "file" in ((protocol,) if isinstance(protocol, str) else protocol)


@contextlib.contextmanager
def _explained(verb: str, what: str) -> Iterator[None]:
    try:
        yield
    except BulkError:
        raise
    except Exception as error:  # of whichever package the store is reached with
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise BulkError(f"cannot {verb} {what}: {reason}") from error
