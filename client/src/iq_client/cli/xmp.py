"""Stars: the options of `rank` that write them, and `iq-client undo`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import click

from iq_client.metadata.rate import (
    SHARES,
    SidecarName,
    UndoList,
    plan,
    stars_by_mean,
    stars_by_share,
)
from iq_client.metadata.rate import (
    undo as undo_changes,
)
from iq_client.metadata.xmp import REJECTED, Rating, import_etree
from iq_client.results import Score

_BORDERS = 4  # between 5, 4, 3, 2 and 1 stars


class _Borders(click.ParamType):  # type: ignore[type-arg]  # generic in late versions of click only
    """Four numbers with commas between them."""

    name = "A,B,C,D"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """The numbers."""
        try:
            numbers = tuple(float(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != _BORDERS:
            self.fail(f"{value!r} is not four numbers, such as 5,20,60,90", param, ctx)
        return numbers


@dataclass(frozen=True, slots=True)
class XmpOptions:
    """The stars that a command line asks for.

    Attributes:
        xmp: Whether stars are written at all.
        embed: Into JPEGs themselves, not beside them.
        xmp_name: Form of a sidecar's name.
        stars: Where 5, 4, 3 and 2 stars end or begin; None for the usual shares.
        stars_by: Whether they are shares of these photos, or means.
        reject: Share or mean below which photos are rejects; None for none.
        dry_run: Whether to tell only.
        undo_list: File to which is added what was there before.
    """

    xmp: bool
    embed: bool
    xmp_name: SidecarName
    stars: tuple[float, ...] | None
    stars_by: Literal["share", "score"]
    reject: float | None
    dry_run: bool
    undo_list: Path

    def check(self) -> None:
        """Finds out, before anything is scored, whether writing could go wrong.

        Raises:
            click.UsageError: Options contradict each other, or the extra is not installed.
        """
        if not self.xmp:
            if self.embed or self.dry_run or self.stars is not None or self.reject is not None:
                raise click.UsageError("--embed, --stars, --reject and --dry-run belong to --xmp")
            return
        if self.stars_by == "score":
            if self.stars is None:
                raise click.UsageError("--stars-by score needs the means: --stars 6,5.5,5,4.5")
            if list(self.stars) != sorted(self.stars, reverse=True):
                raise click.UsageError("--stars: means for 5, 4, 3 and 2 stars fall")
        elif self.stars is not None and (
            list(self.stars) != sorted(self.stars)
            or not 0 <= self.stars[0] <= self.stars[-1] <= 100
        ):
            raise click.UsageError("--stars: shares are percents, 0…100, that rise")
        try:
            import_etree()
        except ImportError as error:
            raise click.UsageError(str(error)) from error

    def write(self, best_first: Sequence[Sequence[Score]]) -> bool:
        """Writes the stars, and tells on stderr what was done.

        Args:
            best_first: All photos that have a score: those of one place have its stars, by the
                first of them.

        Returns:
            Whether every one of them has its stars.
        """
        if not self.xmp:
            return True
        if self.stars_by == "share":
            given = stars_by_share(len(best_first), self.stars or SHARES, self.reject or 0.0)
        else:
            given = [
                stars_by_mean(place[0].mean, self.stars or (), self.reject or 0.0)
                for place in best_first
            ]
        changes = UndoList(self.undo_list)
        done = 0
        photos = [
            (score, stars)
            for place, stars in zip(best_first, given, strict=True)
            for score in place
        ]
        for score, stars in photos:
            try:
                if not Path(score.source).is_file():
                    raise ValueError("stars go to files only")
                change = plan(
                    Path(score.source),
                    Rating(stars, score.mean, score.tower),
                    embed=self.embed,
                    name=self.xmp_name,
                )
                if self.dry_run:
                    click.echo(f"{_shown(stars)}  {change.path}", err=True)
                else:
                    changes.apply(change)
                done += 1
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                click.echo(f"no stars: {score.source}: {reason}", err=True)
        if self.dry_run:
            click.echo(f"{done} photos would get stars; nothing was written", err=True)
        elif done:
            click.echo(
                f"{done} photos got stars; to take them back: iq-client undo {self.undo_list}",
                err=True,
            )
        return done == len(photos)


def xmp_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of `XmpOptions` to a command, which gets them as `xmp`."""

    @functools.wraps(command)
    def called(**arguments: Any) -> Any:
        values = {field.name: arguments.pop(field.name) for field in fields(XmpOptions)}
        return command(**arguments, xmp=XmpOptions(**values))

    for option in reversed(_OPTIONS):
        called = option(called)
    return called


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
        "--stars",
        type=_Borders(),
        help="5, 4, 3, 2 stars for so many percent.  [default: 5,20,60,90]",
    ),
    click.option(
        "--stars-by",
        type=click.Choice(["share", "score"]),
        default="share",
        show_default=True,
        help="--stars are shares of these photos, or means.",
    ),
    click.option(
        "--reject",
        type=click.FloatRange(0),
        metavar="N",
        help="Mark the last N percent, or means below N, as rejects (-1).",
    ),
    click.option("--dry-run", is_flag=True, help="Tell what --xmp would write."),
    click.option(
        "--undo-list",
        type=click.Path(dir_okay=False, path_type=Path),
        default=Path("iq-client-undo.jsonl"),
        show_default=True,
        help="What was there before --xmp is added to this file.",
    ),
]


def _shown(stars: int) -> str:
    return "reject" if stars == REJECTED else ("★" * stars).ljust(6)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_context
def undo(ctx: click.Context, file: Path) -> None:
    """Take back the stars that `rank --xmp` wrote.

    FILE is its --undo-list. A file that was changed since is left as it is.
    """
    back = left = 0
    try:
        for path, changed in undo_changes(file):
            back += changed
            left += not changed
            if not changed:
                click.echo(f"left as it is, changed since: {path}", err=True)
    except OSError as error:
        raise click.FileError(str(error.filename or file), error.strerror) from error
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{back} files are as they were", err=True)
    ctx.exit(1 if left else 0)
