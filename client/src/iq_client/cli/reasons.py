"""The option --reasons: why marks of files are low."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from iq_client.cli.progress import progress
from iq_client.cli.scoring import Outcome, until_interrupted
from iq_client.results import RankedImage

if TYPE_CHECKING:
    from PIL import Image

reasons_option = click.option(
    "--reasons/--no-reasons",
    default=None,
    help="Say why low marks are low.  [default: in a table, and with --html]",
)


def explained(
    rows: Sequence[RankedImage],
    scored: int,
    open_image: Callable[[str], Image.Image],
    outcome: Outcome,
) -> list[RankedImage]:
    """The same rows, those with low marks with their reasons; Ctrl-C leaves out the rest.

    Args:
        rows: Of a ranking.
        scored: The number of photos with a score in the whole ranking.
        open_image: Gives the image of a score's `source`, or raises `OSError`.
        outcome: Is told of Ctrl-C.
    """
    from PIL import Image  # takes a while

    from iq_client.reasons import find_reasons, is_low

    low = [index for index, row in enumerate(rows) if is_low(row, scored)]
    found = list(rows)
    stop = threading.Event()

    def explain(index: int) -> None:
        # Pillow's decoders raise all of these. A photo that is gone since has no reasons.
        with (
            contextlib.suppress(OSError, ValueError, SyntaxError, Image.DecompressionBombError),
            open_image(rows[index].score.source) as image,
        ):
            if not stop.is_set():
                found[index] = replace(rows[index], reasons=find_reasons(image))

    def explain_all() -> Iterator[None]:
        yield from pool.map(explain, low)  # none is begun before Ctrl-C is waited for

    looking = Outcome()  # its own: Ctrl-C while scoring does not leave out the reasons
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        until_interrupted(
            explain_all(), looking, cancel=stop.set, cancellable=lambda: True
        ) as done,
        progress("reasons", len(low)) as bar,
    ):
        for _ in done:
            bar.advance()
    outcome.interrupted |= looking.interrupted
    return found
