"""`siamese-nima personalise`: one's own taste, learnt from a few judgements."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from iq_serving.contract import ENSEMBLE_MODEL
from siamese_nima.cli.options import PATH, json_option
from siamese_nima.cli.output import write_json
from siamese_nima.errors import ConfigError
from siamese_nima.progress import on_terminal

if TYPE_CHECKING:
    from siamese_nima.personalise.learning import Gain

_PROBLEMS_SHOWN = 5


@click.command()
@click.argument("photos", type=PATH)
@click.option("--pairs", type=PATH, metavar="FILE", help="Picks: a table winner,loser.")
@click.option("--labels", type=PATH, metavar="FILE", help="Ratings: a table file_name,label.")
@click.option("--stars", type=PATH, metavar="DIR", help="Photos with xmp:Rating.")
@click.option(
    "--from",
    "base",
    default="default",
    show_default=True,
    metavar="DIR",
    help="Repository of the tower to begin from; `default` is ./model_repository, or else what the "
    "wheel iq-nima installed.",
)
@click.option("--output", "-o", type=PATH, required=True, help="Repository to write.")
@click.option("--even-if-unproven", is_flag=True, help="Write it where no gain is proven, too.")
@json_option
def personalise(
    photos: Path,
    pairs: Path | None,
    labels: Path | None,
    stars: Path | None,
    base: str,
    output: Path,
    even_if_unproven: bool,
    json_file: Path | None,
) -> None:
    """Teach the default tower your own taste, by judgements of photos under PHOTOS.

    Judgements are picks (--pairs), ratings (--labels) or stars (--stars). Each is held out once, to
    tell what a taste adds to the default tower; a gain that could be chance is not
    claimed, and nothing is written then.
    """
    if sum(given is not None for given in (pairs, labels, stars)) != 1:
        raise click.UsageError("give one of --pairs, --labels and --stars")
    if output.exists() and not (output / ENSEMBLE_MODEL).is_dir() and any(output.iterdir()):
        raise ConfigError(f"{output} is there and is no model repository: give another --output")
    from siamese_nima.personalise.graph import find_depths, with_taste
    from siamese_nima.personalise.judgements import read_judgements
    from siamese_nima.personalise.learning import learn
    from siamese_nima.personalise.repository import find_served, write_personal
    from siamese_nima.towers.graph_files import read_graph

    served = find_served(base)
    judgements = read_judgements(stars or photos, pairs=pairs, labels=labels)
    for problem in judgements.problems[:_PROBLEMS_SHOWN]:
        click.echo(f"left out: {problem.where}: {problem.code}: {problem.text}", err=True)
    if (more := len(judgements.problems) - _PROBLEMS_SHOWN) > 0:
        click.echo(f"left out: {more} more", err=True)
    click.echo(f"{len(judgements)} judgements")
    graph = read_graph(served.graph)
    taste, gain = learn(judgements, graph, served.tower, progress=on_terminal)
    click.echo(_told(gain))
    written = gain.proven or even_if_unproven
    if json_file:
        found = {name: getattr(gain, name).to_dict() for name in ("before", "after", "difference")}
        write_json({"judgements": len(judgements), "proven": gain.proven, **found}, json_file)
    if not written:
        raise click.ClickException(
            "no gain is proven, so nothing was written: judge more photos, or ask for the tower "
            "with --even-if-unproven"
        )
    write_personal(served, with_taste(graph, find_depths(graph), taste), output)
    click.echo(
        f"wrote {output}; rank with it: iq-client rank {photos} --local --model-repository {output}"
    )


def _told(gain: Gain) -> str:
    """The gain in two sentences."""
    difference = gain.difference
    verdict = "a gain" if gain.proven else "which is within noise: no gain is proven"
    return (
        f"pairs held out that are in your order: {gain.before.value:.1%} before, "
        f"{gain.after.value:.1%} after (n = {gain.after.count})\n"
        f"difference {difference.value:+.1%}, 95 % interval {difference.low:+.1%} to "
        f"{difference.high:+.1%}: {verdict}"
    )
