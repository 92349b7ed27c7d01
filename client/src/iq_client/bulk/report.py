"""Progress of a bulk run in numbers: counted, summed up in a file, shown to Prometheus."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iq_client.bulk.drivers import Outcome, ShardFailure
from iq_client.bulk.store import open_folder
from iq_client.results import TowerIdentity


@dataclass(slots=True)
class Tally:
    """Counts of a run so far.

    Attributes:
        shards: Count of shards to do.
        done: Count of those that are done, in this run or before.
        rows: Count of their photos.
        scored: Count of photos that were sent in this run.
        errors: Count of photos without a score, by code.
        tenths: Count of photos by the tenth of the tower's set that their scores lie in, from 1.
        failures: Messages of the shards that have no file, by name.
    """

    shards: int
    done: int = 0
    rows: int = 0
    scored: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    tenths: Counter[int] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def add(self, outcome: Outcome) -> None:
        """Counts what became of a shard."""
        if isinstance(outcome, ShardFailure):
            self.failures[outcome.name] = outcome.message
            return
        self.done += 1
        self.rows += outcome.rows
        self.scored += outcome.scored
        self.errors.update(outcome.errors)
        self.tenths.update(dict(enumerate(outcome.tenths, 1)))

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self.started

    def to_dict(self, tower: TowerIdentity | None) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "shards": self.shards,
            "done": self.done,
            "rows": self.rows,
            "errors": dict(sorted(self.errors.items())),
            "tenths": [count for _, count in sorted(self.tenths.items())],
            "failures": self.failures,
            "scored_now": self.scored,
            "seconds": round(self.seconds, 3),
            "tower": None if tower is None else tower.to_dict(),
        }

    def to_json(self, tower: TowerIdentity | None) -> str:
        """The text of the summary's file."""
        return json.dumps(self.to_dict(tower), indent=1)

    def to_prometheus(self) -> str:
        """The counts as Prometheus' text format has them."""
        lines = []
        for name, text, value in (
            ("shards", "Shards of this run.", self.shards),
            ("shards_done", "Shards whose file is there.", self.done),
            ("shards_failed", "Shards that were given up.", len(self.failures)),
            ("photos_done", "Photos in the shards that are done.", self.rows),
            ("photos_sent", "Photos sent to a server in this run.", self.scored),
            ("seconds", "Time since the run began.", round(self.seconds, 3)),
        ):
            lines += [f"# HELP iq_bulk_{name} {text}", f"# TYPE iq_bulk_{name} gauge"]
            lines.append(f"iq_bulk_{name} {value}")
        lines += ["# HELP iq_bulk_errors Photos without a score.", "# TYPE iq_bulk_errors gauge"]
        lines += [f'iq_bulk_errors{{code="{c}"}} {n}' for c, n in sorted(self.errors.items())]
        lines += [
            "# HELP iq_bulk_tenths Photos by the tenth of the tower's set that they score in.",
            "# TYPE iq_bulk_tenths gauge",
        ]
        lines += [f'iq_bulk_tenths{{tenth="{t}"}} {n}' for t, n in sorted(self.tenths.items())]
        return "\n".join(lines) + "\n"


def write_textfile(path: Path, tally: Tally) -> None:
    """Writes the counts for the textfile collector of Prometheus' node exporter, as a whole.

    Raises:
        BulkError: It cannot be written.
    """
    open_folder(str(path.absolute().parent)).write(path.name, tally.to_prometheus().encode())
