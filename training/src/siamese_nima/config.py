"""One file describes a run: what it learns from, how, and where it goes."""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from siamese_nima.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PhaseConfig:
    """Epochs and rates of one phase of training.

    Attributes:
        epochs: Passes over the data.
        learning_rate: Peak of the cosine schedule.
        warmup_share: Share of the steps in which the rate rises to its peak.
        weight_decay: AdamW's.
    """

    epochs: int
    learning_rate: float
    warmup_share: float = 0.05
    weight_decay: float = 1e-4


def read_config(kind: type[T], path: Path, overrides: Iterable[str] = ()) -> T:
    """Reads a TOML file.

    Args:
        kind: The dataclass that the file describes.
        path: The file. Relative paths in it start at the current folder.
        overrides: `key=value` or `table.key=value`, the value in TOML's notation; a value that is
            no TOML is taken as text. A table of a list goes by its `name`: `sets.NAME.key=value`.

    Returns:
        The config.

    Raises:
        ConfigError: No such file, a key that is unknown or missing, or a value of another type.
    """
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise ConfigError(f"{override!r} is not key=value")
        *tables, last = key.strip().split(".")
        table = values
        for name in tables:
            table = _entered(table, name, key)
        if not isinstance(table, dict):
            raise ConfigError(f"{key} names a list: name one of its tables, as in sets.NAME.key")
        table[last] = _value(text.strip())
    return typing.cast(T, _build(kind, values, ""))


def _entered(table: Any, name: str, key: str) -> Any:
    """The table of a name in a table or in a list of named ones."""
    if isinstance(table, list):
        named = {each.get("name"): each for each in table if isinstance(each, dict)}
        if name not in named:
            raise ConfigError(
                f"{key}: no table is named {name!r}; there are {', '.join(map(str, named))}"
            )
        return named[name]
    if not isinstance(table, dict):
        raise ConfigError(f"{key}: {name} is no table")
    return table.setdefault(name, {})


def to_toml(config: Any) -> str:
    """A config as a TOML file that `read_config` reads; keys without a value are left out."""
    return "\n".join(_toml_lines(config, "")) + "\n"


def _toml_lines(config: Any, prefix: str) -> list[str]:
    """Plain keys first, then each table and list of tables under its dotted name."""
    lines: list[str] = []
    tables: list[str] = []
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), prefix + field.name
        if value is None:
            continue
        if dataclasses.is_dataclass(value):
            tables += ["", f"[{name}]", *_toml_lines(value, f"{name}.")]
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            for each in value:
                tables += ["", f"[[{name}]]", *_toml_lines(each, f"{name}.")]
        else:
            lines.append(f"{field.name} = {_literal(value)}")
    return lines + tables


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | Path):
        escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)


def _build(kind: type, values: dict[str, Any], prefix: str) -> Any:
    """A dataclass from a table, every key checked."""
    hints = typing.get_type_hints(kind)
    if unknown := values.keys() - hints.keys():
        raise ConfigError(f"unknown key {prefix}{sorted(unknown)[0]}; there are {', '.join(hints)}")
    required = {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    if missing := required - values.keys():
        raise ConfigError(f"missing key {prefix}{sorted(missing)[0]}")
    return kind(
        **{name: _convert(hints[name], value, prefix + name) for name, value in values.items()}
    )


def _convert(kind: Any, value: Any, key: str) -> Any:
    if type(None) in typing.get_args(kind):
        (kind,) = (each for each in typing.get_args(kind) if each is not type(None))
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _build(typing.cast(type, kind), value, f"{key}.")
    if kind is Path and isinstance(value, str):
        return Path(value).expanduser()
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        (item_kind, _) = typing.get_args(kind)
        return tuple(_convert(item_kind, item, f"{key}.{n}") for n, item in enumerate(value))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise ConfigError(f"{key} is {value!r}, not {getattr(kind, '__name__', kind)}")
