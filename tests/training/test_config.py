"""A run's config: read, overridden, checked, written back."""

from __future__ import annotations

from pathlib import Path

import pytest

from siamese_nima.config import read_config, to_toml
from siamese_nima.errors import ConfigError
from siamese_nima.train.config import TrainConfig, checked

CONFIGS = Path(__file__).parents[2] / "training/configs"
SHIPPED = CONFIGS / "mobilenet_para.toml"


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.toml")), ids=lambda file: file.stem)
def test_shipped_configs_are_sound_and_survive_writing(file: Path, tmp_path: Path) -> None:
    config = read_config(TrainConfig, file)
    checked(config)
    (tmp_path / "again.toml").write_text(to_toml(config))
    assert read_config(TrainConfig, tmp_path / "again.toml") == config


def test_overrides() -> None:
    overrides = ["crop=0.5", "body.epochs=9", "mirror=false", "output=some/where"]
    config = read_config(TrainConfig, SHIPPED, overrides)
    assert (config.crop, config.body.epochs, config.mirror) == (0.5, 9, False)
    assert config.output == Path("some/where")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("crops=2", "unknown key crops"),
        ("body.epoch=2", "unknown key body.epoch"),
        ("workers=many", "workers is 'many', not int"),
        ("workers=true", "workers is True, not int"),
        ("sets=here", "sets is 'here'"),
        ("crop", "not key=value"),
    ],
)
def test_mistakes_are_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config(TrainConfig, SHIPPED, [override])


def test_files_that_are_no_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_config(TrainConfig, tmp_path / "missing.toml")
    (tmp_path / "a.toml").write_text("= 1")
    with pytest.raises(ConfigError, match="not TOML"):
        read_config(TrainConfig, tmp_path / "a.toml")
    (tmp_path / "a.toml").write_text("tower = 'x'")
    with pytest.raises(ConfigError, match="missing key"):
        read_config(TrainConfig, tmp_path / "a.toml")
