"""Contenders that take turns, and the machine in one line: shared by the benchmarks."""

from __future__ import annotations

import datetime
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from iq_serving.machine import has_bf16, usable_cores


@dataclass(frozen=True, slots=True)
class Result:
    """One contender's rounds.

    Attributes:
        seconds: Wall time of each round, per item.
    """

    seconds: tuple[float, ...]

    @property
    def per_second(self) -> float:
        """Items per second in the median round."""
        return 1 / statistics.median(self.seconds)

    @property
    def milliseconds(self) -> float:
        """Milliseconds per item in the median round."""
        return 1e3 * statistics.median(self.seconds)


def in_turns(
    contenders: Mapping[str, tuple[Callable[[], object], int]], rounds: int
) -> dict[str, Result]:
    """Runs every contender once in each round, forwards and backwards by turns.

    Args:
        contenders: What to run, and how many items one run works on.
        rounds: Rounds that count; one more warms everything up.

    Returns:
        The contenders' results, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        order = list(contenders)
        for name in order if number % 2 else order[::-1]:
            run, items = contenders[name]
            start = time.perf_counter()
            run()
            if number:
                seconds[name].append((time.perf_counter() - start) / items)
    return {name: Result(tuple(values)) for name, values in seconds.items()}


def ratio(slow: Result, quick: Result) -> float:
    """Times as quick, the median of the rounds' own ratios."""
    return statistics.median(a / b for a, b in zip(slow.seconds, quick.seconds, strict=True))


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table, its first column to the left."""
    lines = [list(header), ["---", *("---:" for _ in header[1:])], *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def figure(name: str, got: str, wanted: str) -> str:
    """A line that `report.py` gathers into its table."""
    return f"\n{name}: **{got}** (wanted: {wanted})\n"


def machine() -> str:
    """One sentence about where the numbers come from."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    bf16 = "with" if has_bf16() else "without"
    return (
        f"{datetime.date.today()}, {usable_cores()} cores of {name} {bf16} bf16, "
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )


def versions(*packages: str) -> str:
    """Installed versions of packages, those that are absent left out."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
