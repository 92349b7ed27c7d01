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
from iq_client.cli.xmp import XmpOptions, dry_run_option, xmp_options
from iq_client.files import replacing
from iq_client.gallery.marks import MAX_STARS, Mark, as_rating, parse_marks, write_marks


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
@xmp_options
@dry_run_option
@click.pass_context
def apply(
    ctx: click.Context,
    marks: str,
    folder: Path | None,
    csv: Path | None,
    min_stars: int | None,
    root: Path,
    xmp: XmpOptions,
    dry_run: bool,
) -> None:
    """Do to photos what was marked in a gallery: copy picks, write stars.

    FILE is the JSON or CSV that the gallery exports, or - for stdin, to paste it. Copies keep
    their names; a second photo of a name gets a number. Run again, the command goes on where it
    was: what is there already stays.

    --xmp writes stars, -1 and a red label for rejects, and a green label for picks.
    """
    if folder is None and csv is None and not xmp.xmp:
        raise click.UsageError("nothing to do: give --copy DIR, --xmp or --csv FILE")
    xmp.check()
    found = _read(marks)
    if csv is not None and not dry_run:
        try:
            write_marks(csv, found)
        except OSError as error:
            raise click.FileError(str(csv), error.strerror) from error
    wanted = [
        mark
        for mark in found
        if _is_marked(mark) and (xmp.xmp or (folder is not None and _is_chosen(mark, min_stars)))
    ]
    present = {mark for mark in wanted if (root / mark.path).is_file()}
    missing = [mark for mark in wanted if mark not in present]
    for mark in missing:
        click.echo(f"NOT_FOUND: {printable(str(root / mark.path))}", err=True)
    if missing and not present:
        click.echo("none is there: name with --root the folder that they were scored in", err=True)
    # Before the copies are made, which then have the stars that are embedded.
    done = not xmp.xmp or xmp.write(
        ((root / mark.path, as_rating(mark)) for mark in wanted if mark in present),
        dry_run=dry_run,
    )
    if folder is not None:
        chosen = [mark for mark in wanted if _is_chosen(mark, min_stars)]
        photos = [root / mark.path for mark in chosen if mark in present]
        copied, there = _copy(photos, folder, dry_run=dry_run)
        told = "would be copied" if dry_run else "copied"
        parts = [f"{copied} of {len(chosen)} chosen photos {told} to {folder}"]
        parts += [f"{there} were there already"] if there else []
        lost = len(chosen) - len(photos)
        parts += [f"{lost} not found"] if lost else []
        click.echo(", ".join(parts))
    ctx.exit(exit_codes.SOME_FAILED if missing or not done else exit_codes.SCORED)


def _read(name: str) -> list[Mark]:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise click.FileError(name, error.strerror) from error
    try:
        return parse_marks(data.decode("utf-8-sig", "surrogateescape"))
    except ValueError as error:
        raise click.UsageError(f"{name}: {error}") from error


def _is_marked(mark: Mark) -> bool:
    return bool(mark.flag or mark.stars)


def _is_chosen(mark: Mark, min_stars: int | None) -> bool:
    if min_stars is None:
        return mark.flag == "pick"
    return mark.stars >= min_stars and mark.flag != "reject"


def _copy(photos: Sequence[Path], folder: Path, *, dry_run: bool) -> tuple[int, int]:
    """Counts of those copied, and of those that were there already.

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
