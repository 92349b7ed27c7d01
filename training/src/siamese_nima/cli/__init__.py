"""The command line `siamese-nima`.

Exit codes: 0 done; 1 photos, labels, weights or a run failed; 2 wrong usage or config; 130 ended by
Ctrl-C. The exceptions in `errors` carry theirs.
"""

from __future__ import annotations

from typing import Any

import click

from iq_serving.preprocessing import ImageError
from siamese_nima.cli.data import data
from siamese_nima.cli.evaluate import evaluate
from siamese_nima.cli.export import export
from siamese_nima.cli.personalise import personalise
from siamese_nima.cli.predict import predict
from siamese_nima.cli.train import train
from siamese_nima.errors import SiameseNimaError

INTERRUPTED = 130


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order they were added, which is that of use."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; an error that a user can mend becomes one line and an exit code."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader has gone: click ends quietly
            raise
        except (SiameseNimaError, ImageError, OSError) as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(getattr(error, "exit_code", SiameseNimaError.exit_code))
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(INTERRUPTED)


@click.group(
    name="siamese-nima",
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="siamese-nima", message="siamese-nima %(version)s")
def main() -> None:
    """Train, evaluate and export Siamese NIMA towers.

    \b
    Exit codes
      0    done
      1    photos, labels, weights or a run failed
      2    wrong usage or config
      130  ended by Ctrl-C
    """  # noqa: D301  click wants the backspace itself


for command in (data, train, evaluate, predict, personalise, export):
    main.add_command(command)
