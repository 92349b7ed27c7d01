"""`iq-client apply`: what was marked in a gallery, done to the files."""

from __future__ import annotations

import filecmp
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from iq_client.cli import exit_codes
from iq_client.cli.output import FileToWrite
from iq_client.cli.tables import printable
from iq_client.files import replacing
from iq_client.gallery.marks import MAX_STARS, Mark, parse_marks, write_marks


@click.command()
@click.argument("marks", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--copy",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Copy the chosen photos to this folder.",
)
@click.option(
    "--csv", type=FileToWrite(), metavar="FILE", help="Write path, flag and stars of all."
)
@click.option(
    "--min-stars",
    type=click.IntRange(1, MAX_STARS),
    metavar="N",
    help="Choose photos with N stars and more that are not rejected.  [default: the picked ones]",
)
@click.option(
    "--root",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where relative paths begin.  [default: here]",
)
@click.option("--dry-run", is_flag=True, help="Say what would be copied, and write nothing.")
@click.pass_context
def apply(
    ctx: click.Context,
    marks: str,
    folder: Path | None,
    csv: Path | None,
    min_stars: int | None,
    root: Path,
    dry_run: bool,
) -> None:
    """Copy the photos that were picked in a gallery, or list all marks.

    FILE is the JSON or CSV that the gallery exports, or - for stdin, to paste it. Copies keep
    their names; a second photo of a name gets a number. Run again, the command goes on where it
    was: what is there already stays.
    """
    if folder is None and csv is None:
        raise click.UsageError("nothing to do: give --copy DIR or --csv FILE")
    found = _read(marks)
    chosen = [mark for mark in found if _is_chosen(mark, min_stars)]
    if csv is not None and not dry_run:
        try:
            write_marks(csv, found)
        except OSError as error:
            raise click.FileError(str(csv), error.strerror) from error
    if folder is None:
        return
    photos = [root / mark.path for mark in chosen]
    missing = [photo for photo in photos if not photo.is_file()]
    for photo in missing:
        click.echo(f"NOT_FOUND: {printable(str(photo))}", err=True)
    if missing and len(missing) == len(photos):
        click.echo("none is there: name with --root the folder that they were scored in", err=True)
    photos = [photo for photo in photos if photo.is_file()]
    copied, there = _copy(photos, folder, dry_run=dry_run)
    told = "would be copied" if dry_run else "copied"
    parts = [f"{copied} of {len(chosen)} chosen photos {told} to {folder}"]
    parts += [f"{there} were there already"] if there else []
    parts += [f"{len(missing)} not found"] if missing else []
    click.echo(", ".join(parts))
    ctx.exit(exit_codes.SOME_FAILED if missing else exit_codes.SCORED)


def _read(name: str) -> list[Mark]:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise click.FileError(name, error.strerror) from error
    try:
        return parse_marks(data.decode("utf-8-sig", "surrogateescape"))
    except ValueError as error:
        raise click.UsageError(f"{name}: {error}") from error


def _is_chosen(mark: Mark, min_stars: int | None) -> bool:
    if min_stars is None:
        return mark.flag == "pick"
    return mark.stars >= min_stars and mark.flag != "reject"


def _copy(photos: Sequence[Path], folder: Path, *, dry_run: bool) -> tuple[int, int]:
    """How many were copied, and how many were there already.

    Raises:
        click.FileError: A photo cannot be copied; those before it are.
    """
    copied = there = 0
    try:
        if not dry_run:
            folder.mkdir(parents=True, exist_ok=True)
        for photo, target in _targets(photos, folder):
            if target.exists():
                there += 1
                continue
            if not dry_run:
                with photo.open("rb") as source, replacing(target) as stream:
                    shutil.copyfileobj(source, stream)
                    stream.flush()  # what is written later would change the times
                    shutil.copystat(photo, stream.name)
            copied += 1
    except OSError as error:
        name = os.fsdecode(error.filename or folder)
        raise click.FileError(name, f"--copy: {error.strerror}; {copied} were copied") from error
    return copied, there


def _targets(photos: Iterable[Path], folder: Path) -> Iterator[tuple[Path, Path]]:
    """Each photo with a name of its own in the folder; one that is there has the same bytes."""
    taken: set[Path] = set()
    for photo in photos:
        target = folder / photo.name
        number = 2
        while target in taken or (
            target.exists() and not filecmp.cmp(photo, target, shallow=False)
        ):
            target = folder / f"{photo.stem}_{number}{photo.suffix}"
            number += 1
        taken.add(target)
        yield photo, target
