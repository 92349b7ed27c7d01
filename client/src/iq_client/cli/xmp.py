"""XMP: the options of commands that write stars and labels, and `iq-client undo`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from iq_client.cli.gathering import gathered
from iq_client.cli.tables import printable
from iq_client.metadata.rate import Change, SidecarName, UndoList, plan
from iq_client.metadata.rate import undo as undo_changes
from iq_client.metadata.xmp import REJECTED, Rating, import_etree


@dataclass(frozen=True, slots=True)
class XmpOptions:
    """Options for writing stars and labels.

    Attributes:
        xmp: Whether they are written at all.
        embed: Into JPEGs themselves, not beside them.
        xmp_name: Form of a sidecar's name.
        undo_list: File to which is added what was there before.
    """

    xmp: bool
    embed: bool
    xmp_name: SidecarName
    undo_list: Path

    def check(self) -> None:
        """Finds out, before anything is done, whether writing could go wrong.

        Raises:
            click.UsageError: Options contradict each other, or the extra is not installed.
        """
        if not self.xmp:
            if self.embed:
                raise click.UsageError("--embed belongs to --xmp")
            return
        try:
            import_etree()
        except ImportError as error:
            raise click.UsageError(str(error)) from error

    def plan(self, photo: Path, rating: Rating) -> Change:
        """The change of one file; raises OSError and ValueError as `metadata.rate.plan`."""
        if not photo.is_file():
            raise ValueError("stars go to files only")
        return plan(photo, rating, embed=self.embed, name=self.xmp_name)

    def write(self, ratings: Iterable[tuple[str | Path, Rating]], *, dry_run: bool = False) -> bool:
        """Writes stars and labels, and tells on stderr what was done.

        Args:
            ratings: Photos, and what to write of them.
            dry_run: Whether to tell only.

        Returns:
            Whether every one of them has its own.
        """
        done = left = 0
        changes = UndoList(self.undo_list)
        for source, rating in ratings:
            try:
                change = self.plan(Path(source), rating)
                if dry_run:
                    click.echo(f"{_shown(rating)}  {printable(str(change.path))}", err=True)
                else:
                    changes.apply(change)
                done += 1
            except (OSError, ValueError) as error:
                left += 1
                reason = error.strerror if isinstance(error, OSError) else error
                click.echo(f"no stars: {printable(str(source))}: {reason}", err=True)
        if dry_run:
            click.echo(f"{done} photos would get stars; nothing was written", err=True)
        elif done:
            click.echo(
                f"{done} photos got stars; to take them back: iq-client undo {self.undo_list}",
                err=True,
            )
        return left == 0


def xmp_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of `XmpOptions` to a command, which gets them as `xmp`."""
    return gathered(command, "xmp", XmpOptions, _OPTIONS)


dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Tell what would be written, and write nothing."
)
_OPTIONS = [
    click.option("--xmp", is_flag=True, help="Write stars for photo programs, into sidecars."),
    click.option("--embed", is_flag=True, help="With --xmp: into JPEGs themselves."),
    click.option(
        "--xmp-name",
        type=click.Choice(["a.jpg.xmp", "a.xmp"]),
        default="a.jpg.xmp",
        show_default=True,
        help="Of sidecars: as darktable and digiKam have them, or Adobe.",
    ),
    click.option(
        "--undo-list",
        type=click.Path(dir_okay=False, path_type=Path),
        default=Path("iq-client-undo.jsonl"),
        show_default=True,
        help="What was there before --xmp is added to this file.",
    ),
]


def _shown(rating: Rating) -> str:
    stars = "reject" if rating.stars == REJECTED else "★" * (rating.stars or 0)
    return f"{stars:6} {rating.label or '':5}"


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_context
def undo(ctx: click.Context, file: Path) -> None:
    """Take back the stars that --xmp wrote.

    FILE is its --undo-list. A file that was changed since is left as it is.
    """
    back: set[Path] = set()
    left: set[Path] = set()
    try:
        for path, undone in undo_changes(file):
            (back if undone else left).add(path)
    except OSError as error:
        raise click.FileError(str(error.filename or file), error.strerror) from error
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    for path in sorted(left):
        click.echo(f"left as it is, changed since: {printable(str(path))}", err=True)
    click.echo(f"{len(back - left)} files are as they were", err=True)
    ctx.exit(1 if left else 0)
