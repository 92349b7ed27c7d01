"""The command line `iq-client`.

Exit codes: 0 all images were scored; 1 some were not; 2 wrong usage; 3 no server, or one that
cannot be used; 130 ended by Ctrl-C, after what was done had been written.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, NoReturn

import click

from iq_client.cli import exit_codes
from iq_client.cli.apply import apply
from iq_client.cli.bulk import bulk
from iq_client.cli.compare import compare
from iq_client.cli.compare_models import compare_models
from iq_client.cli.doctor import doctor
from iq_client.cli.gallery import gallery
from iq_client.cli.groups import groups
from iq_client.cli.info import info
from iq_client.cli.rank import rank
from iq_client.cli.score import score
from iq_client.cli.sections import OrderedGroup
from iq_client.cli.serve import serve
from iq_client.cli.tables import printable
from iq_client.cli.xmp import undo
from iq_client.errors import IQClientError


class _Commands(OrderedGroup):
    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; an exception of the client becomes a message and its exit code."""
        try:
            return super().invoke(ctx)
        except IQClientError as error:
            _fail(ctx, str(error), error.exit_code)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # click knows: the reader went away
            _discard_unwritten()
            where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
            _fail(ctx, f"{where}{error.strerror or error}", exit_codes.SOME_FAILED)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(exit_codes.INTERRUPTED)


def _fail(ctx: click.Context, message: str, exit_code: int) -> NoReturn:
    click.echo(f"Error: {_shown(message)}", err=True)
    ctx.exit(exit_code)


def _shown(message: str) -> str:
    """A message, of several lines perhaps, without what a terminal would act on."""
    return "\n".join(map(printable, message.split("\n")))


def _discard_unwritten() -> None:
    """Rows that do not go to a full disk would not at the interpreter's end either."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="iq-client", message="%(prog)s %(version)s")
def cli() -> None:
    """Score and rank photos by quality.

    \b
    iq-client rank photos/                        best first, as a table
    iq-client rank photos/ --html gallery.html    to look at in a browser
    iq-client score photos/ -o scores.parquet     for a program

    The scores come from a server: the one at --url (or IQ_URL), else one that is started for the
    command and ends with it.

    \b
    Exit codes
      0    all images were scored
      1    some were not
      2    wrong usage
      3    no server, or one that cannot be used
      130  ended by Ctrl-C; what was done has been written
    """  # noqa: D301  click wants the backspace itself


for command in (
    rank, score, compare, groups, gallery, apply, undo, bulk, compare_models, serve, info, doctor,
):  # fmt: skip
    cli.add_command(command)


def main() -> None:
    """The entry point of `iq-client`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character shows `?`
    cli(prog_name="iq-client")
