"""Weights by name: what was fetched is found, what was not is asked for, nothing is downloaded."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import keras
import pytest
from click.testing import CliRunner

from siamese_nima.cli import main
from siamese_nima.errors import ConfigError, WeightsError
from siamese_nima.evaluate.scorers import open_scorer
from siamese_nima.towers.registry import TOWERS, Tower, build_tower, get_tower
from siamese_nima.towers.weight_files import WeightFile, find_weights, write_record
from siamese_nima.towers.weights import load_tower, save_weights

NAME = "somebody/some-tower"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "siamese-nima" / "weights"


@pytest.fixture
def quick_mobilenet(tiny: Tower, monkeypatch: pytest.MonkeyPatch) -> Tower:
    """A tower of that name in the registry that is built and exported in no time."""
    tower = dataclasses.replace(tiny, name="mobilenet")
    monkeypatch.setitem(TOWERS, "mobilenet", tower)
    return tower


def put(cache: Path, file: str, record: Mapping[str, object] | str | None = None) -> Path:
    path = cache / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"weights")
    if record is not None:
        text = record if isinstance(record, str) else json.dumps(record)
        path.with_name(path.name + ".json").write_text(text)
    return path


@pytest.mark.parametrize("suffix", [".h5", ".hdf5"])
def test_a_name_is_found_in_the_cache(cache: Path, suffix: str) -> None:
    record = {"url": "https://x", "tower": "mobilenet", "interpolation": "nearest"}
    path = put(cache, NAME + suffix, record)
    found = find_weights(NAME)
    assert (found.path, found.tower, found.interpolation) == (path, "mobilenet", "nearest")


def test_a_file_goes_before_a_name(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cache, NAME + ".h5")
    monkeypatch.chdir(cache.parent)
    here = put(cache.parent, NAME)
    assert find_weights(NAME).path.resolve() == here.resolve()
    assert find_weights(here).tower == ""


def test_what_was_not_fetched_is_asked_for(cache: Path) -> None:
    with pytest.raises(WeightsError, match="iq-tools weights fetch somebody/some-tower"):
        find_weights(NAME)
    with pytest.raises(WeightsError) as caught:
        find_weights("runs/x/best.weights.h5")
    assert "fetch" not in str(caught.value)
    with pytest.raises(ConfigError, match="iq-tools weights fetch somebody/some-tower"):
        open_scorer(NAME)
    result = CliRunner().invoke(main, ["export", "--weights", NAME, "-o", str(cache)])
    assert result.exit_code == 1
    assert "iq-tools weights fetch" in result.output


def test_a_record_says_what_was_trained(tmp_path: Path, quick_mobilenet: Tower) -> None:
    written = WeightFile(tmp_path / "x.h5", "mobilenet", "nearest", (96, 128))
    write_record(written)
    save_weights(build_tower(quick_mobilenet), written.path)
    assert find_weights(written.path) == written
    loaded = load_tower(written.path)
    assert (loaded.tower.image_size, loaded.interpolation) == ((96, 128), "nearest")
    assert loaded.model.input_shape == (None, 96, 128, 3)


@pytest.mark.parametrize("record", ["{", "[]", '{"image_size": 224}', '{"image_size": ["a", 1]}'])
def test_a_damaged_record_is_named(cache: Path, record: str) -> None:
    put(cache, NAME + ".h5", record)
    with pytest.raises(WeightsError, match=r"some-tower\.h5\.json is no record"):
        find_weights(NAME)


def test_the_folder_is_the_one_that_is_fetched_into(cache: Path) -> None:
    from iq_tools.weights.published import SOURCES, find_source

    for name in SOURCES:
        path = find_source(name)[1]
        assert path.is_relative_to(cache)
        put(path.parent, path.name)
        assert find_weights(name).path == path


def test_every_published_tower_is_in_the_registry() -> None:
    from iq_serving.contract import INTERPOLATIONS
    from iq_tools.weights.published import SOURCES

    for source in SOURCES.values():
        assert get_tower(source.tower).name == source.tower
        assert source.interpolation in INTERPOLATIONS


def test_whose_weights_they_are_has_to_be_known(cache: Path) -> None:
    put(cache, NAME + ".h5")
    with pytest.raises(ConfigError, match="--tower"):
        load_tower(NAME)


def test_a_name_exports_without_further_words(
    cache: Path, tmp_path: Path, quick_mobilenet: Tower
) -> None:
    keras.utils.set_random_seed(1)
    save_weights(build_tower(quick_mobilenet), cache / f"{NAME}.h5")
    record = {"tower": "mobilenet", "interpolation": "nearest"}
    (cache / f"{NAME}.h5.json").write_text(json.dumps(record))
    said = ["--tower-version", "1.2", "--licence", "CC0-1.0"]
    result = CliRunner().invoke(
        main, ["export", "--weights", NAME, "-o", str(tmp_path / "out"), *said]
    )
    assert result.exit_code == 0, result.output
    described = json.loads((tmp_path / "out" / "assets.extra" / "tower.json").read_text())
    assert (described["tower"], described["interpolation"]) == ("mobilenet", "nearest")
    assert (described["version"], described["licence"]) == ("1.2", "CC0-1.0")
    other = load_tower(NAME, interpolation="bilinear")
    assert (other.tower.name, other.interpolation) == ("mobilenet", "bilinear")


def test_published_weights_by_name_score_as_by_path(cache: Path, data_folder: Path) -> None:
    folder = data_folder / "idealo_nima"
    weights = folder / "weights_mobilenet_aesthetic_0.07.hdf5"
    path = cache / "idealo" / "mobilenet-aesthetic.hdf5"
    path.parent.mkdir(parents=True)
    shutil.copy(weights, path)
    record = {"tower": "mobilenet", "interpolation": "nearest"}
    path.with_name(path.name + ".json").write_text(json.dumps(record))
    photo = [(folder / "images" / "42039.jpg").read_bytes()]
    by_name = open_scorer("idealo/mobilenet-aesthetic")(photo)
    by_path = open_scorer(weights, tower="mobilenet", interpolation="nearest")(photo)
    assert by_name.distributions.tolist() == by_path.distributions.tolist()


def test_the_search_loads_no_framework() -> None:
    code = "import siamese_nima.towers.weight_files, sys; print('keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
