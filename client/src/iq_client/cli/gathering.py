"""Options that belong together, handed to a command as one value."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any


def gathered(
    command: Callable[..., Any],
    name: str,
    kind: type[Any],
    options: Sequence[Callable[[Callable[..., Any]], Callable[..., Any]]],
) -> Callable[..., Any]:
    """A command with more options.

    Args:
        command: The function below `click.command`.
        name: The argument by which it gets them.
        kind: A dataclass with a field for each option, of the option's name.
        options: Decorators, in the order of the help.
    """

    @functools.wraps(command)
    def called(**arguments: Any) -> Any:
        values = {field.name: arguments.pop(field.name) for field in fields(kind)}
        return command(**arguments, **{name: kind(**values)})

    for option in reversed(options):
        called = option(called)
    return called
