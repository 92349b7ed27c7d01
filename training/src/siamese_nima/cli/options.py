"""Options that several commands share; those of a set of photos are made from `DataConfig`."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from iq_serving.contract import INTERPOLATIONS
from siamese_nima.data.samples import FORMS, DataConfig

Command = TypeVar("Command", bound=Callable[..., Any])
Option = Callable[[Any], Any]

PATH = click.Path(path_type=Path)

config_argument = click.argument("config", type=PATH)
images_argument = click.argument("images", type=PATH)
json_option = click.option("--json", "json_file", type=PATH, help="Write it all.")
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key; repeatable."
)
interpolation_option = click.option(
    "--interpolation",
    type=click.Choice(INTERPOLATIONS),
    help="The way photos are resized; for weight files only.  [default: what the file's record "
    "says, else bilinear]",
)
tower_option = click.option(
    "--tower",
    default="",
    help="Name in the registry; for weight files only.  [default: what the file's record says]",
)


def applied(command: Command, options: Collection[Option]) -> Command:
    """Adds options to a command, which shows them in the order given."""
    for option in reversed([*options]):
        command = option(command)
    return command


def model_options(*, multiple: bool = False) -> Option:
    """The options of a model that scores: `model`, `tower` and `interpolation`.

    Args:
        multiple: Whether `--model` may be repeated; `model` then is a tuple.
    """
    repeat = " Repeat it to compare two." if multiple else ""
    model = click.option(
        "--model",
        "--weights",
        "model",
        required=True,
        multiple=multiple,
        help="Weight file or the name of a fetched one, SavedModel folder, .onnx file or "
        f"grpc://HOST:PORT.{repeat}",
    )
    return lambda command: applied(command, [model, tower_option, interpolation_option])


def data_options(command: Command) -> Command:
    """The options of `DataConfig`, all but the folder."""
    forms = "; ".join(f"{name}: {holds}" for name, holds in FORMS.items())
    names = [field.name for field in dataclasses.fields(DataConfig) if field.name != "images"]
    return applied(
        command,
        field_options(
            DataConfig,
            names,
            types={"form": click.Choice(list(FORMS)), "max_bad_share": click.FloatRange(0, 1)},
            defaults={"form": "labels"},
            helps={"form": f"{forms}."},
        ),
    )


def field_options(
    kind: type[Any],
    names: Collection[str],
    *,
    types: Mapping[str, click.ParamType[Any]] = types.MappingProxyType({}),
    defaults: Mapping[str, Any] = types.MappingProxyType({}),
    helps: Mapping[str, str] = types.MappingProxyType({}),
) -> list[Option]:
    """Makes an option of each field of a dataclass: `--some-field` of `some_field`.

    Args:
        kind: The dataclass. Its fields' types, defaults and descriptions become the options'.
        names: The fields.
        types: Narrower types of options, by field.
        defaults: Values of fields that have no default.
        helps: Descriptions that say more than the docstring.

    Returns:
        The options, in the order of `names`.

    Raises:
        TypeError: A field is of a type that no option has.
    """
    hints, described = typing.get_type_hints(kind), descriptions(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    options = []
    for name in names:
        default = fields[name].default
        if default is dataclasses.MISSING:
            default = defaults.get(name)
        options.append(
            click.option(
                f"--{name.replace('_', '-')}",
                type=types.get(name) or _option_type(hints[name], f"{kind.__name__}.{name}"),
                default=default,
                show_default=default not in (None, ""),
                help=helps.get(name, described.get(name)),
            )
        )
    return options


def descriptions(kind: type[Any]) -> dict[str, str]:
    """The fields' descriptions in the docstring of a dataclass, without its backticks.

    Args:
        kind: With an `Attributes` section in Google's style.

    Returns:
        The text of each attribute, by name.
    """
    _, _, section = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.replace("`", "").split()) for name, text in found}


def _option_type(hint: Any, name: str) -> click.ParamType[Any]:
    """The type of an option for the type of a field, optional or not."""
    (kind, *others) = [each for each in typing.get_args(hint) or (hint,) if each is not type(None)]
    known: dict[Any, click.ParamType[Any]] = {
        str: click.STRING, int: click.INT, float: click.FLOAT, bool: click.BOOL, Path: PATH,
    }  # fmt: skip
    if others or kind not in known:
        raise TypeError(f"{name} is a {hint}, of which no option can be made")
    return known[kind]
