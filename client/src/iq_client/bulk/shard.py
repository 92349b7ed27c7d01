"""One shard, scored into one Parquet file: what every driver calls."""

from __future__ import annotations

import io
import json
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

import numpy as np

from iq_client.bulk.manifest import Shard
from iq_client.bulk.read import read_sources
from iq_client.bulk.store import Folder
from iq_client.bulk.tower import check_tower, in_words
from iq_client.client import Client
from iq_client.codes import ErrorCode, StatusCode
from iq_client.errors import BulkError, ShardError
from iq_client.formats import TOWER_KEY, import_pyarrow, valid_text
from iq_client.images.inputs import InputOptions
from iq_client.images.source import Source
from iq_client.results import VOTES, Score, TowerIdentity

SUMMARY_KEY: Final = "shard.json"  # of a file's metadata
VERSION: Final = 1
TENTHS: Final = 10
READY_SECONDS: Final = 60.0  # that a server may be away

# What a request failed with, of which its images may be innocent. A file that is not there is
# NOT_FOUND as well.
_REQUEST_CODES: Final[frozenset[ErrorCode]] = frozenset(
    {*get_args(StatusCode), "BAD_RESPONSE"} - {"NOT_FOUND"}
)
# Photos in a row that got no answer: the server has gone, the rest would be read for nothing.
_GONE: Final = 1024


@dataclass(frozen=True, slots=True)
class ShardResult:
    """Facts about a shard that is done.

    Attributes:
        name: The shard's.
        rows: Count of its photos.
        errors: Count of those without a score, by code.
        scored: Count of those that were sent for it now; 0 where it had been done before.
        tenths: See `Finished`.
    """

    name: str
    rows: int
    errors: Mapping[str, int] = field(default_factory=dict)
    scored: int = 0
    tenths: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """A shard's file, by its metadata.

    Attributes:
        tower: The network that its scores are of; None where the server did not say.
        rows: Count of its rows.
        errors: Count of rows without a score, by code.
        tenths: Counts of rows with a percentile of 0…10, 10…20, … 90…100; none where the tower has
            no set of photos to compare with.
    """

    tower: TowerIdentity | None
    rows: int
    errors: Mapping[str, int]
    tenths: tuple[int, ...]


class Columns:
    """The rows of a shard; about 70 bytes each and the text."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.means = array("f")
        self.stds = array("f")
        self.percentiles = array("f")
        self.distributions = array("f")
        self.codes: list[str | None] = []
        self.messages: list[str | None] = []

    def __len__(self) -> int:
        return len(self.ids)

    def append(self, score: Score) -> None:
        """Adds a row."""
        self.ids.append(valid_text(score.source))
        self.means.append(score.mean)
        self.stds.append(score.std)
        self.percentiles.append(math.nan if score.percentile is None else score.percentile)
        self.distributions.extend(score.distribution if score.error is None else _NOTHING)
        self.codes.append(score.error.code if score.error else None)
        self.messages.append(valid_text(score.error.message) if score.error else None)

    def put(self, index: int, score: Score) -> None:
        """Puts a score in the place of a row's."""
        row = Columns()
        row.append(score)
        width = len(VOTES)
        for column, new, step in (
            (self.means, row.means, 1),
            (self.stds, row.stds, 1),
            (self.percentiles, row.percentiles, 1),
            (self.distributions, row.distributions, width),
        ):
            column[index * step : (index + 1) * step] = new
        self.codes[index], self.messages[index] = row.codes[0], row.messages[0]

    def failed(self, codes: frozenset[ErrorCode] | None = None) -> list[int]:
        """The positions of rows without a score, those with certain codes or all."""
        return [
            index
            for index, code in enumerate(self.codes)
            if code is not None and (codes is None or code in codes)
        ]

    @property
    def errors(self) -> dict[str, int]:
        """Count of rows without a score, by code."""
        return dict(sorted(Counter(code for code in self.codes if code is not None).items()))

    @property
    def tenths(self) -> tuple[int, ...]:
        """Counts of rows by the tenth that their percentile lies in; none without percentiles."""
        percentiles = np.frombuffer(self.percentiles, np.float32)
        counts, _ = np.histogram(percentiles, TENTHS, (0, 100))  # NaN is in none
        return tuple(map(int, counts)) if counts.any() else ()

    def to_parquet(self, tower: TowerIdentity | None) -> bytes:
        """The bytes of the shard's file."""
        pa = import_pyarrow()
        from pyarrow import parquet

        missing = np.array([code is not None for code in self.codes], bool)
        percentile = np.frombuffer(self.percentiles, np.float32)
        columns = [
            pa.array(self.ids, pa.string()),
            pa.array(np.frombuffer(self.means, np.float32), mask=missing),
            pa.array(np.frombuffer(self.stds, np.float32), mask=missing),
            pa.array(percentile, mask=np.isnan(percentile)),
            # Ten times null where there is no score: Arrow also writes a list of fixed size that is
            # null itself, but cannot read it back.
            pa.FixedSizeListArray.from_arrays(
                pa.array(
                    np.frombuffer(self.distributions, np.float32),
                    mask=missing.repeat(len(VOTES)),
                ),
                len(VOTES),
            ),
            pa.array(self.codes, pa.string()),
            pa.array(self.messages, pa.string()),
        ]
        summary = {"version": VERSION, "errors": self.errors, "tenths": self.tenths}
        metadata = {SUMMARY_KEY: json.dumps(summary)}
        if tower is not None:
            metadata[TOWER_KEY] = json.dumps(tower.to_dict())
        stream = io.BytesIO()
        parquet.write_table(
            pa.Table.from_arrays(columns, schema=schema().with_metadata(metadata)), stream
        )
        return stream.getvalue()

    @classmethod
    def from_parquet(cls, data: bytes) -> Columns:
        """The rows of a shard's file."""
        from pyarrow import parquet

        table = parquet.read_table(io.BytesIO(data))
        columns = cls()
        columns.ids = table["id"].to_pylist()
        for name, numbers in (
            ("mean", columns.means),
            ("std", columns.stds),
            ("percentile", columns.percentiles),
        ):
            numbers.frombytes(table[name].to_numpy().astype(np.float32).tobytes())
        for distribution in table["distribution"].chunks:
            values = distribution.values.to_numpy(zero_copy_only=False)
            columns.distributions.frombytes(values.astype(np.float32).tobytes())
        columns.codes = table["error_code"].to_pylist()
        columns.messages = table["error_message"].to_pylist()
        return columns


_NOTHING: Final = array("f", [math.nan] * len(VOTES))


def schema() -> Any:
    """The columns of a shard's file, a `pyarrow.Schema`: version 1 of the contract."""
    pa = import_pyarrow()
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("mean", pa.float32()),
            pa.field("std", pa.float32()),
            pa.field("percentile", pa.float32()),
            pa.field("distribution", pa.list_(pa.float32(), len(VOTES)), nullable=False),
            pa.field("error_code", pa.string()),
            pa.field("error_message", pa.string()),
        ]
    )


def read_finished(output: Folder, name: str) -> Finished | None:
    """The metadata of a shard's file, None where it is not there.

    Args:
        output: The folder of the run.
        name: The file's.

    Raises:
        BulkError: It cannot be read, or is none of these.
    """
    import_pyarrow()
    from pyarrow import parquet

    try:
        with output.fs.open(output.join(name), "rb") as stream:
            found = parquet.read_metadata(stream)
        metadata = found.metadata or {}
        summary = json.loads(metadata[SUMMARY_KEY.encode()])
        if summary["version"] != VERSION:
            raise ValueError(f"it has version {summary['version']}, not {VERSION}")
        tower = metadata.get(TOWER_KEY.encode())
        return Finished(
            None if tower is None else TowerIdentity.parse(tower.decode()),
            found.num_rows,
            summary["errors"],
            tuple(summary["tenths"]),
        )
    except FileNotFoundError:
        return None
    except Exception as error:  # of whichever package the store is reached with
        raise BulkError(f"{output.join(name)} is no shard of scores: {error!r}") from error


def score_shard(
    shard: Shard,
    output: Folder,
    client: Client,
    tower: TowerIdentity | None,
    *,
    inputs: InputOptions,
    retry_errors: bool = False,
) -> ShardResult:
    """Scores the photos of a shard and writes their file, unless it is there.

    A request that failed says little about its photos: such photos are sent once more, one by one,
    as soon as the server is ready. Where it stays away nothing is written.

    Args:
        shard: The shard.
        output: The folder of the run.
        client: Where the scores come from.
        tower: The network that all scores of the run are of.
        inputs: Choices in how addresses are read.
        retry_errors: Whether the rows without a score of a file that is there are scored again.

    Returns:
        The facts.

    Raises:
        BulkError: The file there is of another tower or cannot be read; or the output cannot be
            written.
        ShardError: The photos cannot be read; the server has another tower, or changed it.
        ConnectError: The server stays away.
        DeadlineExceeded: As above.
    """
    finished = read_finished(output, shard.file)
    if finished is not None:
        check_tower(f"{output.url}/{shard.file} has", finished.tower, tower)
        if not (retry_errors and finished.errors):
            return ShardResult(shard.name, finished.rows, finished.errors, tenths=finished.tenths)
    client.wait_until_ready(READY_SECONDS)
    now = client.server_info().tower
    if in_words(now) != in_words(tower):
        raise ShardError(f"the server has {in_words(now)}, the run is of {in_words(tower)}")

    def sources(only: list[int] | None = None) -> Iterator[Source]:
        return read_sources(shard, output, inputs, None if only is None else frozenset(only))

    columns = Columns()
    if finished is None:
        for score in _checked(client.iter_scores(sources()), tower):
            columns.append(score)
        if shard.rows is not None and len(columns) != shard.rows:
            raise ShardError(f"{shard.path} has {len(columns)} photos, not {shard.rows} as planned")
        sent = len(columns)
    else:
        columns = Columns.from_parquet(output.read(shard.file) or b"")
        again = columns.failed()
        scores = _checked(client.iter_scores(sources(again)), tower)
        for index, score in zip(again, scores, strict=True):
            if valid_text(score.source) != columns.ids[index]:
                raise ShardError(f"{shard.path} has other photos than when it was scored first")
            columns.put(index, score)
        sent = len(again)
    # A request that failed says little about its photos: each gets one of its own.
    if unanswered := columns.failed(_REQUEST_CODES):
        for index, source in zip(unanswered, sources(unanswered), strict=True):
            client.wait_until_ready(READY_SECONDS)
            for score in _checked(client.iter_scores(source), tower):
                columns.put(index, score)
    output.write(shard.file, columns.to_parquet(tower))
    return ShardResult(shard.name, len(columns), columns.errors, sent, columns.tenths)


def _checked(scores: Iterable[Score], tower: TowerIdentity | None) -> Iterator[Score]:
    """Scores as they come, all of one tower, until too many in a row have no answer."""
    label = None if tower is None else tower.label
    silent = 0
    for score in scores:
        if score.error is None:
            silent = 0
            if score.tower != label:
                raise ShardError(f"the server changed its tower from {label} to {score.tower}")
        elif score.error.code in _REQUEST_CODES:
            silent += 1
            if silent >= _GONE:
                raise ShardError(f"{silent} photos in a row got no answer: {score.error}")
        yield score
