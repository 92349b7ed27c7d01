"""The speed of a running server, measured by perf_analyzer on real photos."""

from __future__ import annotations

import base64
import csv
import json
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iq_serving.contract import ENSEMBLE_MODEL, IMAGE, PREPROCESS_MODEL, TOWER_MODEL
from iq_tools.errors import InputError, IQToolsError, MissingToolError

# The tower takes pixels, for which random bytes do: its time does not depend on them.
_TAKES_IMAGES: Final = frozenset({ENSEMBLE_MODEL, PREPROCESS_MODEL})
MODELS: Final = (ENSEMBLE_MODEL, PREPROCESS_MODEL, TOWER_MODEL)

_RESULT: Final = "result.csv"
_LINES_OF_AN_ERROR: Final = 10


@dataclass(frozen=True, slots=True)
class Sweep:
    """Combinations to measure: each model with each batch and each concurrency.

    Attributes:
        models: Models to ask, of `MODELS`.
        batches: Images per request.
        concurrencies: Requests in flight.
        requests: Requests per combination; at least one for each in flight is sent.
    """

    models: tuple[str, ...] = MODELS
    batches: tuple[int, ...] = (1, 4, 16)
    concurrencies: tuple[int, ...] = (1, 2, 4)
    requests: int = 50

    def __post_init__(self) -> None:
        if min(self.requests, *self.batches, *self.concurrencies) < 1:
            raise InputError("batches, concurrencies and requests are 1 or more")


@dataclass(frozen=True, slots=True)
class Split:
    """The parts of a request's time in one model, milliseconds on average.

    Attributes:
        model: The model.
        queue: Waiting for an instance.
        copy: Moving inputs in and outputs out.
        infer: Executing.
    """

    model: str
    queue: float
    copy: float
    infer: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """One point of a sweep.

    Attributes:
        model: The model that was asked.
        batch: Images per request.
        concurrency: Requests in flight.
        images_per_second: Throughput.
        p50: Median latency of a request, milliseconds.
        p99: 99th percentile of it.
        splits: The server's own account, of the steps where the model is an ensemble.
    """

    model: str
    batch: int
    concurrency: int
    images_per_second: float
    p50: float
    p99: float
    splits: tuple[Split, ...]


def find_perf_analyzer(given: Path | None = None) -> Path:
    """The program.

    Args:
        given: Its path; None looks on the PATH.

    Raises:
        MissingToolError: It is not there; says how to get it.
    """
    found = str(given) if given else shutil.which("perf_analyzer")
    if found is None or not Path(found).is_file():
        raise MissingToolError(
            f"{given or 'perf_analyzer'} is not there. It comes with NVIDIA's SDK container "
            f"(nvcr.io/nvidia/tritonserver:YY.MM-py3-sdk), or: pip install perf-analyzer (needs "
            f"glibc 2.38 or later, as Ubuntu 24.04 has)"
        )
    return Path(found)


def write_input_data(photos: Iterable[Path], output: Path) -> int:
    """Writes photos as perf_analyzer's input data.

    Args:
        photos: Image files.
        output: The JSON file.

    Returns:
        The number of photos.
    """
    # perf_analyzer passes the bytes on as they are: an element of a BYTES tensor begins with its
    # length, four bytes little-endian.
    entries = [
        {
            IMAGE: {
                "content": {
                    "b64": base64.b64encode(struct.pack("<I", len(data)) + data).decode("ascii")
                },
                "shape": [1],
            }
        }
        for data in (photo.read_bytes() for photo in photos)
    ]
    output.write_text(json.dumps({"data": entries}), encoding="ascii")
    return len(entries)


def measure(
    url: str,
    photos: Sequence[Path],
    sweep: Sweep,
    *,
    program: Path,
    report: Callable[[Measurement], None] = lambda measurement: None,
) -> list[Measurement]:
    """Measures every combination of a sweep.

    Args:
        url: The server's gRPC address, `HOST:PORT`.
        photos: Image files to send, in turn.
        sweep: The combinations.
        program: perf_analyzer.
        report: Receives every measurement as it is made.

    Returns:
        The measurements, in order.

    Raises:
        IQToolsError: perf_analyzer fails; the message ends with what it said.
    """
    measurements = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_input_data(photos, folder / "images.json")
        for model in sweep.models:
            data = "images.json" if model in _TAKES_IMAGES else "random"
            for batch in sweep.batches:
                for concurrency in sweep.concurrencies:
                    command = [
                        str(program.resolve()),
                        *("-m", model, "-i", "grpc", "-u", url, "--input-data", data),
                        *("-b", str(batch), "--concurrency-range", str(concurrency)),
                        *("--request-count", str(max(sweep.requests, concurrency))),
                        *("-f", _RESULT, "--verbose-csv"),
                    ]
                    _run(command, folder)
                    measurement = read_result(folder, model, batch)
                    report(measurement)
                    measurements.append(measurement)
    return measurements


def read_result(folder: Path, model: str, batch: int) -> Measurement:
    """Reads the CSV files that perf_analyzer leaves in a folder, and removes them.

    Args:
        folder: Where it ran.
        model: The model it asked.
        batch: Images per request.

    Returns:
        The measurement.

    Raises:
        IQToolsError: There is no result, as where every request failed.
    """
    own = folder / _RESULT
    rows = _rows(own) if own.is_file() else []
    if not rows:
        raise IQToolsError(f"perf_analyzer measured nothing of {model} with batches of {batch}")
    row = rows[0]
    steps = sorted(folder.glob(f"*.{_RESULT}"))
    splits = [
        # perf_analyzer names the steps of an ensemble `MODEL_vVERSION.FILE`.
        _split(step.name.rpartition("_v")[0], parsed[0])
        for step in steps
        if (parsed := _rows(step))
    ]
    for path in (own, *steps):
        path.unlink()
    concurrency = int(row["Concurrency"])
    return Measurement(
        model=model,
        batch=batch,
        concurrency=concurrency,
        # As many are always in flight, so their latency says the rate. perf_analyzer's own rate
        # divides by whole intervals of its clock: 24 requests take 1, 2 or 4 seconds there.
        images_per_second=1000 * batch * concurrency / _milliseconds(row["Avg latency"]),
        p50=_milliseconds(row["p50 latency"]),
        p99=_milliseconds(row["p99 latency"]),
        splits=tuple(splits) or (_split(model, row),),
    )


def markdown_table(measurements: Sequence[Measurement]) -> str:
    """The measurements as a Markdown table."""
    lines = [
        "| model | batch | in flight | images/s | p50 ms | p99 ms | queue + copy + infer ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for found in measurements:
        splits = "; ".join(
            f"{split.model} {split.queue:.1f} + {split.copy:.1f} + {split.infer:.1f}"
            for split in found.splits
        )
        lines.append(
            f"| {found.model} | {found.batch} | {found.concurrency} "
            f"| {found.images_per_second:.1f} | {found.p50:.1f} | {found.p99:.1f} | {splits} |"
        )
    return "\n".join(lines) + "\n"


def draw(measurements: Sequence[Measurement], output: Path) -> None:
    """Draws throughput against latency, one line per model and batch size.

    Args:
        measurements: The points.
        output: The PNG file.

    Raises:
        MissingToolError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingToolError("drawing needs matplotlib: pip install 'iq-tools[bench]'") from error

    models = list(dict.fromkeys(found.model for found in measurements))
    figure = Figure(figsize=(6 * len(models), 4.5), layout="constrained")
    axes = figure.subplots(1, len(models), squeeze=False)[0]
    for axis, model in zip(axes, models, strict=True):
        for batch in dict.fromkeys(found.batch for found in measurements):
            line = [found for found in measurements if (found.model, found.batch) == (model, batch)]
            if not line:
                continue
            speed = [found.images_per_second for found in line]
            (drawn,) = axis.plot(
                [found.p50 for found in line], speed, marker="o", label=f"batch {batch}, p50"
            )
            axis.plot(
                [found.p99 for found in line], speed, marker="x", linestyle=":",
                color=drawn.get_color(), label=f"batch {batch}, p99",
            )  # fmt: skip
        axis.set(title=model, xlabel="latency of a request, ms", ylabel="images/s", xscale="log")
        axis.set_ylim(bottom=0)
        axis.grid(visible=True, alpha=0.3)
        axis.legend(fontsize="small")
    figure.savefig(output, dpi=120)


def _split(model: str, row: dict[str, str]) -> Split:
    def milliseconds(*names: str) -> float:
        return sum(_milliseconds(row[name]) for name in names)

    return Split(
        model=model,
        queue=milliseconds("Server Queue"),
        copy=milliseconds("Server Compute Input", "Server Compute Output"),
        infer=milliseconds("Server Compute Infer"),
    )


def _milliseconds(microseconds: str) -> float:
    return float(microseconds) / 1000


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        lines = [line for line in file if line.strip()]
    return list(csv.DictReader(lines))


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-_LINES_OF_AN_ERROR:])
        raise IQToolsError(f"perf_analyzer failed with status {done.returncode}:\n{tail}")
