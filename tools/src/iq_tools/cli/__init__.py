"""The command line `iq-tools`.

Errors that a person can mend end as one line and an exit code (`iq_tools.errors`), not as a
traceback.
"""

from __future__ import annotations

import os
from typing import NoReturn

import click

from iq_tools import __version__
from iq_tools.cli.build import build
from iq_tools.cli.capacity import capacity
from iq_tools.cli.gpu_check import gpu_check
from iq_tools.cli.onnx import onnx
from iq_tools.cli.perf import perf
from iq_tools.cli.plan import plan
from iq_tools.cli.repository import repository
from iq_tools.cli.serve import serve
from iq_tools.cli.weights import weights
from iq_tools.errors import IQToolsError


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order they were added: the way of a tower."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> object:
        """Runs a command; an error that a person can mend becomes a line and an exit code."""
        try:
            return super().invoke(ctx)
        except IQToolsError as error:
            _end(ctx, str(error), error.exit_code)
        except OSError as error:
            if error.filename is None:
                raise
            _end(ctx, f"{error.filename}: {error.strerror}", IQToolsError.exit_code)


def _end(ctx: click.Context, message: str, exit_code: int) -> NoReturn:
    click.echo(f"Error: {message}", err=True)
    ctx.exit(exit_code)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Turn a trained tower into a Triton model repository, and measure it.

    \b
    siamese-nima export --weights FILE --output saved_model
    iq-tools build saved_model --output model_repository
    iq-tools plan --repository model_repository --photos photos/    on the machine with the GPU

    \b
    Exit codes
      0    done
      1    a program failed, or a file could not be read or written
      2    wrong usage, or a folder or photo that cannot be used
      3    a damaged SavedModel or ONNX graph
      4    a program or package is not installed
      5    no GPU, or TensorRT cannot do it there
      6    scores would move: nothing was written
      7    a download failed
      130  a download was ended by Ctrl-C; the same command goes on
    """  # noqa: D301  click wants the backspace itself
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's greetings are no result


for command in (build, onnx, repository, plan, serve, perf, gpu_check, capacity, weights):
    cli.add_command(command)


def main() -> None:
    """The entry point of `iq-tools`."""
    cli(prog_name="iq-tools")
