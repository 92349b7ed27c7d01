"""The photos of a shard as sources, streamed."""

from __future__ import annotations

import functools
import os
import tarfile
from collections.abc import Callable, Container, Iterator
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Final, Self

from iq_client.bulk.listing import WEB
from iq_client.bulk.manifest import Shard
from iq_client.bulk.store import Folder, is_local, open_path
from iq_client.errors import InputError, ShardError
from iq_client.formats import import_pyarrow
from iq_client.images.files import read_file
from iq_client.images.inputs import InputOptions, expand_one
from iq_client.images.kinds import PHOTOS
from iq_client.images.source import Source, broken
from iq_client.wire.protocol import MAX_MESSAGE_BYTES

_ROWS: Final = {"uri": 4096, "bytes": 64}  # that are in memory at once
_BUFFER_BYTES: Final = 2**20


def read_sources(
    shard: Shard, output: Folder, options: InputOptions, only: Container[int] | None = None
) -> Iterator[Source]:
    """The photos of a shard, in order, as far as the caller iterates.

    Args:
        shard: The shard.
        output: The folder of the run, which holds the listings.
        options: Choices in how addresses are read.
        only: Positions in the shard that are wanted; None for all.

    Yields:
        One source a photo, named by its id.

    Raises:
        ShardError: The shard's own file cannot be read, or not to its end.
    """
    rows = _tar(shard) if shard.kind == "tar" else _parquet(shard, output, options)
    try:
        for index, make in enumerate(rows):
            if only is None or index in only:
                yield make()
    except ShardError as error:
        raise ShardError(f"cannot read {shard.path}: {error}") from error
    except Exception as error:  # of whichever package the store is reached with
        raise ShardError(f"cannot read {shard.path}: {error or type(error).__name__}") from error


def _parquet(shard: Shard, output: Folder, options: InputOptions) -> Iterator[Callable[[], Source]]:
    import_pyarrow()
    from pyarrow import parquet

    fs, path = (
        (output.fs, output.join(shard.path)) if shard.kind == "listing" else open_path(shard.path)
    )
    with (
        fs.open(path, "rb") as stream,
        # Page by page: a row group of photos may be larger than memory.
        parquet.ParquetFile(stream, buffer_size=_BUFFER_BYTES, pre_buffer=False) as table,
    ):
        names = table.schema_arrow.names
        content = next((name for name in ("bytes", "uri") if name in names), None)
        if "id" not in names or content is None:
            raise ShardError(
                f"it has the columns {', '.join(names)}; `id` and `bytes` or `uri` are needed"
            )
        groups, first = _groups(table.metadata, shard.start)
        end = shard.start + shard.rows if shard.rows is not None else table.metadata.num_rows
        batches = table.iter_batches(
            _ROWS[content], row_groups=groups, columns=["id", content], use_threads=False
        )
        index = first
        for batch in batches:
            ids, values = batch.column("id").to_pylist(), batch.column(content).to_pylist()
            for name, value in zip(ids, values, strict=True):
                if index >= end:
                    return
                if index >= shard.start:
                    if content == "bytes":
                        yield functools.partial(source_of_bytes, str(name), value)
                    else:
                        yield functools.partial(source_of, str(name), value, options)
                index += 1


def _groups(metadata: Any, start: int) -> tuple[list[int], int]:
    """The row groups from the one with row `start` on, and the number of their first row."""
    first = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if first + rows > start:
            return list(range(group, metadata.num_row_groups)), first
        first += rows
    return [], first


def source_of_bytes(name: str, data: bytes | None) -> Source:
    """The photo that some bytes are the file of.

    Args:
        name: Its id.
        data: The bytes; None for a photo without any.
    """
    if data is None:
        return broken(name, "BAD_INPUT", "the row has no bytes")
    return Source(name, functools.partial(bytes, data))


def source_of(name: str, uri: str | bytes | None, options: InputOptions) -> Source:
    """The photo at an address.

    Args:
        name: Its id.
        uri: A path, or an address that fsspec knows; `http://` and `https://` where the options
            allow them. None for a photo without one.
        options: Choices in how addresses are read.
    """
    if uri is None:
        return broken(name, "BAD_INPUT", "the row has no uri")
    uri = os.fsdecode(uri)
    if uri.startswith(WEB):
        return replace(next(expand_one(uri, 0, options)), name=name)
    if "://" not in uri:
        return Source(name, functools.partial(read_file, uri))
    return Source(name, functools.partial(_fetch, uri))


def _fetch(uri: str) -> bytes:
    try:
        fs, path = open_path(uri)
        if is_local(fs):
            return read_file(path)
        data: bytes = fs.cat_file(path)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError("NOT_FOUND", "no such file") from error
    except Exception as error:  # of whichever package the store is reached with
        reason = str(error) or type(error).__name__
        raise InputError("NOT_READABLE", reason) from error
    if len(data) > MAX_MESSAGE_BYTES:
        raise InputError("TOO_LARGE", f"{len(data)} bytes are more than a request holds")
    return data


def _tar(shard: Shard) -> Iterator[Callable[[], Source]]:
    """The photos in a tar, whose ids are their names without the ending."""
    fs, path = open_path(shard.path)
    with (
        fs.open(path, "rb") as stream,
        tarfile.open(fileobj=stream, mode="r|*", tarinfo=_Member) as archive,
    ):
        for member in archive:
            name = PurePosixPath(member.name)
            if member.isfile() and name.suffix.lower() in PHOTOS and not name.name.startswith("."):
                yield functools.partial(_member, archive, member, str(name.with_suffix("")))


class _Member(tarfile.TarInfo):
    """A member of a tar that has to end with its mark.

    tarfile takes a tar that was cut off, or whose next header is damaged, for one that ends there.
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            if isinstance(error, tarfile.EOFHeaderError):  # type: ignore[attr-defined]
                raise  # this is the mark
            raise ShardError(f"the tar ends early or is damaged: {error}") from error


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> Source:
    if member.size > MAX_MESSAGE_BYTES:
        return broken(name, "TOO_LARGE", f"{member.size} bytes are more than a request holds")
    content = archive.extractfile(member)
    assert content is not None  # it is a file
    return source_of_bytes(name, content.read())
