"""Options made from dataclasses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import Result

from siamese_nima.cli import main
from siamese_nima.cli.options import descriptions, field_options
from siamese_nima.data import DataConfig


def options_of(*words: str) -> dict[str, click.Option]:
    command: click.Command = main
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    return {str(each.name): each for each in command.params if isinstance(each, click.Option)}


@pytest.mark.parametrize("words", [("data", "check"), ("evaluate",)], ids=" ".join)
def test_every_key_of_a_set_is_an_option(words: tuple[str, ...]) -> None:
    options, said = options_of(*words), descriptions(DataConfig)
    for field in dataclasses.fields(DataConfig):
        if field.name == "images":
            continue
        option = options[field.name]
        if field.default is not dataclasses.MISSING:
            assert option.default == field.default
            assert option.help == said[field.name]
        assert option.help


def test_names_of_photos_take_the_same_options() -> None:
    predict, check = options_of("predict"), options_of("data", "check")
    for name in ("separator", "file_column", "suffix"):
        assert (predict[name].default, predict[name].help) == (
            check[name].default, check[name].help,
        )  # fmt: skip


def test_forms_are_told(run: Callable[..., Result]) -> None:
    text = " ".join(run("data", "check", "--help").output.split())
    assert "ava: AVA.txt: index, image id, ten counts of votes, three ids" in text


@dataclass(frozen=True)
class Cake:
    """Something to bake.

    Attributes:
        flour: Grams of it,
            sieved.
        eggs: How many, see `Hen`.
        recipe: Where it is written.
    """

    flour: float = 250.0
    eggs: int = 2
    recipe: Path | None = None
    layers: tuple[str, ...] = ()


def test_fields_become_options() -> None:
    @click.command()
    def bake(**given: object) -> None:
        click.echo(repr(given))

    command = bake
    for option in field_options(Cake, ["flour", "eggs", "recipe"]):
        command = option(command)
    flour, eggs, recipe = command.params
    assert isinstance(flour, click.Option)
    assert flour.help == "Grams of it, sieved."
    assert isinstance(eggs, click.Option)
    assert eggs.help == "How many, see Hen."
    assert (flour.type, eggs.type) == (click.FLOAT, click.INT)
    assert isinstance(recipe.type, click.Path)
    assert (flour.default, eggs.default, recipe.default) == (250.0, 2, None)


def test_a_type_without_an_option_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Cake\.layers"):
        field_options(Cake, ["layers"])
