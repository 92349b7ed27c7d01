"""A run's config: read, overridden, checked, written back."""

from __future__ import annotations

from pathlib import Path

import pytest

from siamese_nima.config import load_config, to_toml
from siamese_nima.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "training/configs/efficientnet_lite0.toml"


def test_shipped_config_reads_and_survives_writing(tmp_path: Path) -> None:
    config = load_config(SHIPPED)
    (tmp_path / "again.toml").write_text(to_toml(config))
    assert load_config(tmp_path / "again.toml") == config


def test_overrides() -> None:
    config = load_config(
        SHIPPED, ["crops=2", "tune.epochs=9", 'photos=["a b", "c"]', "output=some/where"]
    )
    assert (config.crops, config.tune.epochs) == (2, 9)
    assert config.photos == (Path("a b"), Path("c"))
    assert config.output == Path("some/where")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("crop=2", "unknown key crop"),
        ("tune.epoch=2", "unknown key tune.epoch"),
        ("crops=many", "crops is 'many', not int"),
        ("crops=true", "crops is True, not int"),
        ("photos=here", "photos is 'here'"),
        ("crops", "not key=value"),
    ],
)
def test_mistakes_are_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(SHIPPED, [override])


def test_files_that_are_no_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "missing.toml")
    (tmp_path / "a.toml").write_text("= 1")
    with pytest.raises(ConfigError, match="not TOML"):
        load_config(tmp_path / "a.toml")
    (tmp_path / "a.toml").write_text("tower = 'x'")
    with pytest.raises(ConfigError, match="missing key"):
        load_config(tmp_path / "a.toml")
