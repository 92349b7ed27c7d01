"""The arithmetic of capacity: pods, hours and bytes for a number of photos."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iq_tools.errors import InputError

# Of a row of results: the ten shares of the distribution, mean, std and percentile, 4 bytes each.
NUMBERS_BYTES: Final = 13 * 4
_SECONDS: Final = 3600
_UNITS: Final = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


@dataclass(frozen=True, slots=True)
class Job:
    """The photos that are to be scored.

    Attributes:
        photos: How many.
        photo_bytes: Bytes of a file, on average.
        id_bytes: Bytes of a photo's name, on average.
        shard_photos: Photos of a shard.
    """

    photos: float
    photo_bytes: float = 1e6
    id_bytes: float = 40
    shard_photos: int = 10_000


@dataclass(frozen=True, slots=True)
class Pod:
    """One server.

    Attributes:
        rate: Photos/s that it scores by itself.
        units: Cores or GPUs that it has.
        unit: Their name, `core` or `GPU`.
    """

    rate: float
    units: int
    unit: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """The servers that a job needs, and what passes through them.

    Attributes:
        pods: Servers.
        rate: Photos/s of all together.
        hours: Until the last photo is scored.
        bytes_in: Of all files.
        bytes_in_per_second: Of the files that are read at a time.
        bytes_out: Of all rows of results, before compression.
        shards: Count of them; the last may be smaller.
        shard_minutes: A whole shard, on one server.
    """

    pods: int
    rate: float
    hours: float
    bytes_in: float
    bytes_in_per_second: float
    bytes_out: float
    shards: int
    shard_minutes: float


def capacity(
    job: Job,
    pod: Pod,
    *,
    pods: int | None = None,
    hours: float | None = None,
    efficiency: float = 0.9,
) -> Capacity:
    """The hours that some servers need, or the servers that some hours need.

    Args:
        job: The photos.
        pod: One server.
        pods: How many of them there are; None where `hours` is given.
        hours: Time there is; None where `pods` is given.
        efficiency: Share of the sum of their rates that servers reach together, in 0…1.

    Returns:
        The least that is enough.

    Raises:
        InputError: Both or neither is given, or a number is out of its range.
    """
    if (pods is None) == (hours is None):
        raise InputError("give the pods that there are, or the hours that it may take")
    positive = {
        "photos": job.photos,
        "bytes of a photo": job.photo_bytes,
        "bytes of a name": job.id_bytes,
        "photos of a shard": job.shard_photos,
        "photos/s of a pod": pod.rate,
        f"{pod.unit}s of a pod": pod.units,
        "pods": 1 if pods is None else pods,
        "hours": 1 if hours is None else hours,
        "efficiency": efficiency,
    }
    for name, value in positive.items():
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{name}: {value:g} is not more than 0")
    if efficiency > 1:
        raise InputError(f"efficiency: {efficiency:g} is not in 0…1")
    each = pod.rate * efficiency
    if pods is None:
        assert hours is not None
        # The quotient of floats may lie a hair above a whole number.
        pods = math.ceil(round(job.photos / (each * hours * _SECONDS), 9))
    rate = pods * each
    return Capacity(
        pods=pods,
        rate=rate,
        hours=job.photos / rate / _SECONDS,
        bytes_in=job.photos * job.photo_bytes,
        bytes_in_per_second=rate * job.photo_bytes,
        bytes_out=job.photos * (NUMBERS_BYTES + job.id_bytes),
        shards=math.ceil(job.photos / job.shard_photos),
        shard_minutes=job.shard_photos / each / 60,
    )


def best_rate(table: Path, model: str) -> float:
    """The highest throughput in a table of `iq-tools perf`.

    Args:
        table: Its `perf.md`.
        model: The model whose rows count.

    Returns:
        Photos/s.

    Raises:
        InputError: The file cannot be read, or has no such row.
    """
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{table} cannot be read: {error}") from error
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]
    column = next((row.index("images/s") for row in rows if "images/s" in row), None)
    try:
        rates = [] if column is None else [float(row[column]) for row in rows if row[0] == model]
    except (IndexError, ValueError) as error:
        raise InputError(f"{table} is no table of iq-tools perf: {error}") from error
    if not rates:
        raise InputError(
            f"{table} has no row of the model {model}: write one with iq-tools perf --model {model}"
        )
    return max(rates)


def markdown_table(job: Job, pod: Pod, found: Capacity) -> str:
    """The plan as a Markdown table."""
    per_unit = (
        f"{pod.units} {_plural(pod.unit, pod.units)}: {pod.rate / pod.units:.4g} a {pod.unit}"
    )
    rows = {
        "photos": f"{job.photos:,.0f}",
        "a pod": f"{pod.rate:.4g} photos/s ({per_unit})",
        "pods": f"{found.pods:,} ({_plural(pod.unit, 2)}: {found.pods * pod.units:,})",
        "together": f"{found.rate:,.4g} photos/s",
        "hours": f"{found.hours:,.1f}",
        "read": f"{_bytes(found.bytes_in)}, {_bytes(found.bytes_in_per_second)}/s",
        "written": f"{_bytes(found.bytes_out)} before compression",
        "shards": f"{found.shards:,} of {job.shard_photos:,} photos, "
        f"{found.shard_minutes:,.1f} minutes each",
    }
    return "".join(
        f"| {name} | {text} |\n"
        for name, text in [("what", "figure"), ("---", "---"), *rows.items()]
    )


def _bytes(count: float) -> str:
    for size, name in _UNITS:
        if count >= size:
            return f"{count / size:.3g} {name}"
    return f"{count:.3g} bytes"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
