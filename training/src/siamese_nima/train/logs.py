"""Logs of a run: one row an epoch, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from siamese_nima.files import write_atomically
from siamese_nima.train.checkpoint import Position


def write_log(folder: Path, log: list[dict[str, Any]]) -> None:
    """Writes `log.csv` and `log.json`, each replaced in one step."""
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, fieldnames=list(log[0]))
    writer.writeheader()
    writer.writerows(log)
    for name, text in (("log.csv", table.getvalue()), ("log.json", json.dumps(log, indent=2))):
        with write_atomically(folder / name) as partial:
            partial.write_text(text, newline="")


def summary(position: Position) -> dict[str, Any]:
    """The end of a run, JSON-ready."""
    return {
        "epochs": len(position.log),
        "best_held_out_pairwise_accuracy": position.best,
        "last": position.log[-1] if position.log else None,
    }
