"""`iq-tools capacity`: pods, hours and bytes for a number of photos."""

from __future__ import annotations

from pathlib import Path

import click

from iq_serving.contract import ENSEMBLE_MODEL
from iq_tools.cli.options import FILE
from iq_tools.errors import InputError
from iq_tools.measure.capacity import Job, Pod, best_rate, markdown_table
from iq_tools.measure.capacity import capacity as capacity_of

_JOB = Job(photos=0)


@click.command()
@click.option("--photos", type=float, required=True, help="How many, such as 1e8.")
@click.option("--rate", type=float, metavar="PHOTOS/S", help="Of one pod.")
@click.option("--perf", "table", type=FILE, help="Take the best rate of this perf.md instead.")
@click.option("--cores", type=click.IntRange(1), help="Of one pod.")
@click.option("--gpus", type=click.IntRange(1), help="Of one pod, where GPUs set its rate.")
@click.option("--hours", type=float, help="That it may take: tells how many pods it needs.")
@click.option("--pods", type=int, help="That there are: tells how long it takes.")
@click.option(
    "--efficiency",
    type=float,
    default=0.9,
    show_default=True,
    help="Share of the sum of their rates that pods reach together.",
)
@click.option(
    "--photo-bytes", type=float, default=_JOB.photo_bytes, show_default=True, help="On average."
)
@click.option(
    "--id-bytes",
    type=float,
    default=_JOB.id_bytes,
    show_default=True,
    help="Of a photo's name, on average.",
)
@click.option(
    "--shard-photos",
    type=click.IntRange(1),
    default=_JOB.shard_photos,
    show_default=True,
    help="Photos of a shard.",
)
def capacity(
    photos: float,
    rate: float | None,
    table: Path | None,
    cores: int | None,
    gpus: int | None,
    hours: float | None,
    pods: int | None,
    efficiency: float,
    photo_bytes: float,
    id_bytes: float,
    shard_photos: int,
) -> None:
    """Tell the pods, hours and bytes that a number of photos needs.

    The rate is that of one pod by itself: measure it on the machine that will serve, with photos
    such as yours.
    """
    if (rate is None) == (table is None):
        raise InputError("give the rate of a pod, with --rate or --perf")
    units = [(count, unit) for count, unit in ((cores, "core"), (gpus, "GPU")) if count is not None]
    if len(units) != 1:
        raise InputError("say what a pod has: --cores or --gpus")
    if table is not None:
        rate = best_rate(table, ENSEMBLE_MODEL)
    assert rate is not None
    job = Job(photos, photo_bytes, id_bytes, shard_photos)
    pod = Pod(rate, *units[0])
    found = capacity_of(job, pod, pods=pods, hours=hours, efficiency=efficiency)
    click.echo(markdown_table(job, pod, found), nl=False)
