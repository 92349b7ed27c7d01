"""Inputs of a bulk run, looked up: photos, Parquet files and tars behind paths and addresses."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from iq_client.bulk.store import is_local, open_path, url_of
from iq_client.errors import BulkError
from iq_client.images.kinds import PHOTOS

Kind: TypeAlias = Literal["photo", "parquet", "tar"]

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz")
WEB = ("http://", "https://")
_LIST_ENDING = ".txt"


@dataclass(frozen=True, slots=True)
class Found:
    """One file.

    Attributes:
        id: Its name for people: the line of a list as it stands, else the address.
        uri: Its address; an absolute path on this machine.
        kind: Its kind, by its ending.
    """

    id: str
    uri: str
    kind: Kind


def find(inputs: Iterable[str]) -> Iterator[Found]:
    """The files behind the inputs of a bulk run, in order, as far as the caller iterates.

    Args:
        inputs: Each a folder (searched recursively; hidden files, and what is none of the kinds,
            left out), a glob pattern, a list of paths (`.txt`, one a line), or a file.

    Raises:
        BulkError: An input is not there or cannot be listed.
    """
    for given in inputs:
        if given.startswith(WEB):
            yield Found(given, given, _kind(given) or "photo")
            continue
        fs, path = open_path(given)
        try:
            yield from _find(fs, path, given)
        except BulkError:
            raise
        except Exception as error:  # of whichever package the store is reached with
            raise BulkError(f"cannot list {given}: {error or type(error).__name__}") from error


def _find(fs: Any, path: str, given: str) -> Iterator[Found]:
    if fs.isdir(path):
        yield from _walk(fs, path)
    elif fs.exists(path):
        if path.lower().endswith(_LIST_ENDING):
            yield from _lines(fs, path)
        else:
            yield _file(fs, path)
    elif glob.has_magic(path):
        matches = sorted(fs.glob(path))
        if not matches:
            raise BulkError(f"no file matches {given}")
        for match in matches:
            if not fs.isdir(match):
                yield _file(fs, match)
            elif "**" not in path:  # which matches the files in folders by themselves
                yield from _walk(fs, match)
    else:
        raise BulkError(f"there is nothing at {given}")


def _lines(fs: Any, path: str) -> Iterator[Found]:
    with fs.open(path, "rb") as lines:
        for line in lines:
            name = os.fsdecode(line.rstrip(b"\r\n"))
            if name:
                uri = name if "://" in name else os.path.abspath(name)  # noqa: PTH100  of text
                yield Found(name, uri, _kind(name) or "photo")


def _walk(fs: Any, folder: str) -> Iterator[Found]:
    # One folder at a time: `find` of fsspec would hold every name of a bucket.
    for entry in sorted(fs.ls(folder, detail=True), key=lambda entry: str(entry["name"])):
        path = entry["name"].rstrip("/")
        if path == folder or path.rsplit("/", 1)[-1].startswith("."):
            continue
        if entry["type"] == "directory":
            if not entry.get("islink"):  # a linked folder may lead back here
                yield from _walk(fs, path)
        elif (kind := _kind(path)) is not None:
            uri = url_of(fs, path)
            yield Found(uri, uri, kind)


def _file(fs: Any, path: str) -> Found:
    uri = os.path.abspath(path) if is_local(fs) else url_of(fs, path)  # noqa: PTH100  of text
    return Found(uri, uri, _kind(path) or "photo")


def _kind(path: str) -> Kind | None:
    lower = path.lower()
    if lower.endswith(".parquet"):
        return "parquet"
    if lower.endswith(TAR_ENDINGS):
        return "tar"
    return "photo" if os.path.splitext(lower)[1] in PHOTOS else None  # noqa: PTH122  of text
