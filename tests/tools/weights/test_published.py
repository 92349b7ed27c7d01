from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from iq_serving.contract import weights_folder
from iq_tools.cli import cli
from iq_tools.errors import DownloadError
from iq_tools.weights.published import SOURCES, find_source


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "siamese-nima" / "weights"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["weights", *(str(each) for each in arguments)])


def test_a_file_put_there_by_hand_gets_its_record(cache: Path, data_folder: Path) -> None:
    name = "idealo/mobilenet-aesthetic"
    source, path = find_source(name)
    path.parent.mkdir(parents=True)
    published = data_folder / "idealo_nima" / "weights_mobilenet_aesthetic_0.07.hdf5"
    path.write_bytes(published.read_bytes())
    result = run("fetch", name)
    assert result.exit_code == 0, result.output
    record = json.loads(path.with_name(f"{path.name}.json").read_text())
    assert record["tower"] == "mobilenet"
    assert record["sha256"] == source.sha256


def test_the_list_says_what_is_there(cache: Path) -> None:
    path = cache / "titu1994" / "nasnet-mobile.h5"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    lines = {line.split()[0]: line.split() for line in run("list").output.splitlines()}
    assert set(lines) == set(SOURCES)
    assert lines["titu1994/nasnet-mobile"][1:] == ["nasnet_mobile", str(path)]
    assert lines["idealo/mobilenet-technical"][2].startswith("https://")


def test_every_name_has_a_place_of_its_own() -> None:
    places = {find_source(name)[1] for name in SOURCES}
    assert len(places) == len(SOURCES)
    for name in SOURCES:
        source, path = find_source(name)
        assert str(path).startswith(str(weights_folder() / name))
        assert source.url.startswith("https://")


@given(st.text(max_size=40))
def test_no_address_leaves_the_cache(text: str) -> None:
    for name in (text, f"https://{text}", f"https://example.org/{text}", f"https://{text}/w.h5"):
        try:
            _, path = find_source(name)
        except DownloadError:
            continue
        assert Path(os.path.normpath(path)).is_relative_to(weights_folder())
        assert path.parent != weights_folder()


def test_the_published_sum_is_that_of_the_published_file(data_folder: Path) -> None:
    published = data_folder / "idealo_nima" / "weights_mobilenet_aesthetic_0.07.hdf5"
    source = SOURCES["idealo/mobilenet-aesthetic"]
    assert source.url.endswith(f"/{published.name}")
    assert hashlib.sha256(published.read_bytes()).hexdigest() == source.sha256
