"""Stars: the options of `rank` that say how many a photo gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import click

from iq_client.cli.gathering import gathered
from iq_client.metadata.rate import SHARES, stars_by_mean, stars_by_share
from iq_client.metadata.xmp import MOST_STARS, PICK_LABEL, REJECT_LABEL, REJECTED, Rating
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
class StarOptions:
    """The stars that a command line asks for.

    Attributes:
        stars: Where 5, 4, 3 and 2 stars end or begin; None for the usual shares.
        stars_by: Whether they are shares of these photos, or means.
        reject: Share or mean below which photos are rejects; None for none.
        labels: Whether 5 stars and rejects get colours as well.
    """

    stars: tuple[float, ...] | None
    stars_by: Literal["share", "score"]
    reject: float | None
    labels: bool

    def check(self, *, xmp: bool) -> None:
        """Finds out, before anything is scored, whether they make sense.

        Args:
            xmp: Whether stars are written at all.

        Raises:
            click.UsageError: Options contradict each other.
        """
        if not xmp:
            if self.stars is not None or self.reject is not None or self.labels:
                raise click.UsageError("--stars, --reject and --labels belong to --xmp")
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

    def ratings(self, best_first: Sequence[Sequence[Score]]) -> Iterator[tuple[str, Rating]]:
        """The photos and their ratings.

        Args:
            best_first: All photos that have a score: those of one place have its stars, which are
                given by the first of them.
        """
        if self.stars_by == "share":
            given = stars_by_share(len(best_first), self.stars or SHARES, self.reject or 0.0)
        else:
            given = [
                stars_by_mean(place[0].mean, self.stars or (), self.reject or 0.0)
                for place in best_first
            ]
        labels = {MOST_STARS: PICK_LABEL, REJECTED: REJECT_LABEL} if self.labels else {}
        for place, stars in zip(best_first, given, strict=True):
            for score in place:
                yield score.source, Rating(stars, labels.get(stars), score.mean, score.tower)


def star_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of `StarOptions` to a command, which gets them as `stars`."""
    return gathered(command, "stars", StarOptions, _OPTIONS)


_OPTIONS = [
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
    click.option(
        "--labels", is_flag=True, help="Colours as well: green for 5 stars, red for rejects."
    ),
]
