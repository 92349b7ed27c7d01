"""The manifest: the shards of a bulk run, cut from its inputs once."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, Final, Literal

from iq_client.bulk.listing import TAR_ENDINGS, WEB, Found, find
from iq_client.bulk.store import Folder, open_path, url_of
from iq_client.errors import BulkError
from iq_client.formats import import_pyarrow, valid_text

FILE: Final = "_manifest.json"
LISTING: Final = "_listing"  # the folder of the lists of photos
VERSION: Final = 1
DEFAULT_SHARD_SIZE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Shard:
    """Photos that are scored together, into one file.

    Attributes:
        name: Stem of that file.
        kind: `listing`, a Parquet file in the output folder with the columns `id` and `uri`;
            `parquet`, one of the inputs, with `id` and `bytes` or `uri`; or `tar`.
        path: The file with its photos; for a listing relative to the output folder.
        start: Its first row in there.
        rows: Count of its photos; None where only reading it tells.
    """

    name: str
    kind: Literal["listing", "parquet", "tar"]
    path: str
    start: int = 0
    rows: int | None = None

    @property
    def file(self) -> str:
        """Name of the file with its scores."""
        return f"{self.name}.parquet"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The shards of a bulk run.

    Attributes:
        inputs: Addresses of the inputs; absolute paths on this machine.
        shards: In the order of the inputs.
    """

    inputs: tuple[str, ...]
    shards: tuple[Shard, ...]

    @property
    def rows(self) -> int | None:
        """Count of all photos; None where only reading them tells."""
        return rows_of(self.shards)

    def to_json(self) -> str:
        """The text of its file."""
        values = {
            "version": VERSION,
            "inputs": self.inputs,
            "shards": list(map(asdict, self.shards)),
        }
        return json.dumps(values, indent=1)


def rows_of(shards: Sequence[Shard]) -> int | None:
    """Count of the photos in some shards; None where only reading them tells."""
    counts = [shard.rows for shard in shards if shard.rows is not None]
    return sum(counts) if len(counts) == len(shards) else None


def load(output: Folder) -> Manifest | None:
    """The manifest of an output folder, None where there is none yet.

    Raises:
        BulkError: It cannot be read, or is of another version.
    """
    data = output.read(FILE)
    if data is None:
        return None
    try:
        values = json.loads(data)
        if values["version"] != VERSION:
            raise ValueError(f"it has version {values['version']}, not {VERSION}")
        shards = tuple(Shard(**shard) for shard in values["shards"])
        return Manifest(tuple(values["inputs"]), shards)
    except (ValueError, KeyError, TypeError) as error:
        raise BulkError(f"{output.url}/{FILE} is no manifest that can be used: {error}") from error


def plan(inputs: Sequence[str], output: Folder, shard_size: int) -> Manifest:
    """The manifest of an output folder, made and written there where there is none yet.

    Args:
        inputs: See `listing.find`: photos, or Parquet files, or tars.
        output: The folder of the run.
        shard_size: Photos of a shard at most; a tar is always one shard.

    Raises:
        BulkError: The folder has a manifest of other inputs, there is nothing to score, or the
            inputs are of several kinds.
    """
    manifest = load(output)
    given = tuple(map(_address, inputs))
    if manifest is None:
        made = Manifest(given, tuple(_cut(inputs, output, shard_size)))
        if output.create(FILE, made.to_json().encode()):
            return made
        manifest = load(output)  # another driver was faster
    if manifest is None or manifest.inputs != given:
        there = " ".join(manifest.inputs) if manifest else "nothing"
        raise BulkError(
            f"{output.url} holds the scores of {there}, not of {' '.join(given)}: name another "
            f"--output, or the same input"
        )
    return manifest


def _address(given: str) -> str:
    """An input such that it means the same in every folder and on every machine."""
    return given if given.startswith(WEB) else url_of(*open_path(given))


def _cut(inputs: Sequence[str], output: Folder, shard_size: int) -> list[Shard]:
    containers: list[Found] = []
    kinds: set[str] = set()

    def photos() -> Iterator[Found]:
        for found in find(inputs):
            kinds.add(found.kind)
            if len(kinds) > 1:
                raise BulkError(
                    f"{' and '.join(sorted(kinds))} files at once in {' '.join(inputs)}: give "
                    f"those of one kind, with a pattern such as '{inputs[0].rstrip('/')}/*.tar'"
                )
            if found.kind == "photo":
                yield found
            else:
                containers.append(found)

    rest = photos()
    shards: list[Shard] = []
    while chunk := list(islice(rest, shard_size)):
        shards.append(_listed(chunk, len(shards), output))
    for container, name in zip(containers, _names(containers), strict=True):
        if container.kind == "tar":
            shards.append(Shard(name, "tar", container.uri))
        else:
            shards.extend(_pieces(container.uri, name, shard_size))
    if not shards:
        raise BulkError(f"no photos, Parquet files or tars in {' '.join(inputs)}")
    names = {shard.name for shard in shards}
    if len(names) < len(shards):
        raise BulkError(f"some of the files in {' '.join(inputs)} would have the same output")
    return shards


def _listed(chunk: Sequence[Found], number: int, output: Folder) -> Shard:
    """A shard of photos, listed in a file that is named after its content.

    Of two drivers that list at once, neither writes over the list of the other.
    """
    pa = import_pyarrow()
    from pyarrow import parquet

    columns = {
        "id": [valid_text(found.id) for found in chunk],
        "uri": pa.array([found.uri.encode("utf-8", "surrogateescape") for found in chunk]),
    }
    stream = io.BytesIO()
    parquet.write_table(pa.table(columns), stream)
    digest = hashlib.sha256(stream.getvalue()).hexdigest()[:12]
    path = f"{LISTING}/{number:05}-{digest}.parquet"
    output.write(path, stream.getvalue())
    return Shard(f"{number:05}", "listing", path, rows=len(chunk))


def _pieces(uri: str, name: str, shard_size: int) -> Iterator[Shard]:
    """A Parquet file as one shard, or where it has more rows as several, cut evenly."""
    rows = _parquet_rows(uri)
    count = max(1, -(-rows // shard_size))
    for piece in range(count):
        start, end = rows * piece // count, rows * (piece + 1) // count
        yield Shard(
            name if count == 1 else f"{name}-{piece:05}", "parquet", uri, start, end - start
        )


def _parquet_rows(uri: str) -> int:
    import_pyarrow()
    from pyarrow import parquet

    fs, path = open_path(uri)
    try:
        with fs.open(path, "rb") as stream:
            metadata: Any = parquet.read_metadata(stream)
    except Exception as error:  # of whichever package the store is reached with
        raise BulkError(f"cannot read {uri}: {error}") from error
    return int(metadata.num_rows)


def _names(containers: Sequence[Found]) -> list[str]:
    """The containers' paths below the folder that they share, without ending, as one word each."""
    paths = [PurePosixPath(found.uri) for found in containers]
    shared = 0
    if len(paths) > 1:
        columns = zip(*(path.parent.parts for path in paths), strict=False)
        for column in columns:
            if len(set(column)) > 1:
                break
            shared += 1
    names = []
    for path in paths:
        parts = path.parts[shared:] if len(paths) > 1 else path.parts[-1:]
        name = "--".join(parts)
        ending = next((e for e in (*TAR_ENDINGS, ".parquet") if name.lower().endswith(e)), "")
        names.append(name.removesuffix(name[len(name) - len(ending) :]) if ending else name)
    return names
