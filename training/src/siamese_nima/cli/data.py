"""`siamese-nima data check`: labels and photos, read in full before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from siamese_nima.cli.options import data_options, images_argument, json_option
from siamese_nima.cli.output import write_json
from siamese_nima.data import DataConfig, inspect
from siamese_nima.progress import on_terminal

_PROBLEMS_SHOWN = 20
_BAR = 40  # characters


@click.group()
def data() -> None:
    """Look at labelled photos."""


@data.command()
@images_argument
@data_options
@json_option
def check(images: Path, json_file: Path | None, **options: Any) -> None:
    """Read every label and every photo under IMAGES, and report what is wrong.

    Fails if more than --max-bad-share of the rows is bad.
    """
    config = DataConfig(images=images, **options)
    inspection = inspect(config, on_terminal)
    found = inspection.to_dict()
    if json_file:
        write_json(found, json_file)
    problems = found["problems"]
    for problem in problems[:_PROBLEMS_SHOWN]:
        click.echo(f"{problem['where']}: {problem['code']}: {problem['text']}")
    if (more := len(problems) - _PROBLEMS_SHOWN) > 0:
        click.echo(f"and {more} more problems: --json FILE lists them all")
    click.echo(_summary(found))
    inspection.require(config.max_bad_share)


def _summary(found: dict[str, Any]) -> str:
    """Counts and the histogram of the scores, for people."""
    counts = {"good": found["good"], **found["problem_counts"], "copies": len(found["copies"])}
    lines = [", ".join(f"{name} {count}" for name, count in counts.items())]
    lines += [f"bad share {found['bad_share']:.4f}", "", f"{'score':14} count"]
    most = max((row["count"] for row in found["histogram"]), default=1)
    for row in found["histogram"]:
        score = f"{row['score']:g}" if "score" in row else f"{row['from']:.2f} … {row['to']:.2f}"
        bar = "█" * round(_BAR * row["count"] / most)
        lines.append(f"{score:14} {row['count']:5} {bar}")
    return "\n".join(lines)
