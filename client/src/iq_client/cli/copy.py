"""Copies of, or links to, the best photos in a folder."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from iq_client.cli.tables import printable
from iq_client.files import fitting


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """Folder for the best photos, if any.

    Attributes:
        folder: A folder that is new or empty; None copies nothing.
        link: Symbolic links instead of copies.
    """

    folder: Path | None
    link: bool

    def check(self, *, cut: bool) -> None:
        """Finds out, before anything is scored, whether copying could go wrong.

        Args:
            cut: Whether the command line says which photos are the best.

        Raises:
            click.UsageError: There is no cut, or the folder has something in it.
        """
        if self.folder is None:
            if self.link:
                raise click.UsageError("--link says how --copy-best works; give both")
            return
        if not cut:
            raise click.UsageError("--copy-best needs --top or --min-score to say what is best")
        if self.folder.is_dir() and any(self.folder.iterdir()):
            # Ranks of two runs in one folder would say nothing.
            raise click.UsageError(f"--copy-best: {self.folder} is not empty")

    def copy(self, sources: Sequence[str]) -> None:
        """Puts the files into the folder, their rank in front of their names.

        Args:
            sources: Paths, best first.

        Raises:
            click.FileError: A file cannot be copied, or the folder not be made.
        """
        if self.folder is None:
            return
        digits = len(str(len(sources)))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            longest = os.pathconf(self.folder, "PC_NAME_MAX")
            for place, source in enumerate(sources, start=1):
                name = fitting(f"{place:0{digits}}_{Path(source).name}", longest)
                target = self.folder / name
                if self.link:
                    target.symlink_to(Path(source).resolve())
                else:
                    _copy(Path(source), target)
        except OSError as error:
            name = printable(str(error.filename or self.folder))
            raise click.FileError(name, f"--copy-best: {error.strerror}") from error


def _copy(source: Path, target: Path) -> None:
    """Copies a file with its times; on a full disk no half of it stays."""
    try:
        shutil.copy2(source, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def copy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --copy-best and --link to a command, which gets them as `copy: CopyOptions`."""

    @functools.wraps(command)
    def called(copy_best: Path | None, link: bool, **arguments: Any) -> Any:
        return command(copy=CopyOptions(copy_best, link), **arguments)

    called = click.option(
        "--link", is_flag=True, help="With --copy-best: links instead of copies."
    )(called)
    return click.option(
        "--copy-best",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Copy what other options leave to a new or empty folder, as RANK_NAME.",
    )(called)
