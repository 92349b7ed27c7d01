"""The contract, and what is said a second time where it cannot be imported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from iq_client.images.kinds import SERVED
from iq_client.results import VOTES
from iq_serving import contract
from iq_serving.contract import ContractError, Tower, weights_folder
from iq_serving.preprocessing import FORMATS

DESCRIPTION = {
    "tower": "tiny",
    "image_size": [24, 32],
    "interpolation": "bilinear",
    "preprocessing_version": 1,
}


def test_a_description_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "tower.json"
    path.write_text(json.dumps(DESCRIPTION | {"more": "is kept"}))
    tower = Tower.read(path)
    assert tower == Tower("tiny", (24, 32), "bilinear", 1, path.read_text())
    assert contract.pixels_of(tower).dims == (24, 32, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"image_size": [224]},
        {"image_size": [0, 224]},
        {"image_size": "224"},
        {"interpolation": "bicubic"},
        {"preprocessing_version": None},
        {"quantiles": [float(i) for i in range(101)]},
        {"quantiles_of": "photos"},
        {"quantiles": [1.0, 2.0], "quantiles_of": "photos"},
        {"quantiles": [1.0] * 101, "quantiles_of": "photos"},
        {"quantiles": "abc", "quantiles_of": "photos"},
    ],
)
def test_a_description_that_is_wrong_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ContractError, match="a test"):
        Tower.parse(json.dumps(DESCRIPTION | changes), origin="a test")


def test_what_a_tower_says_of_itself_is_read() -> None:
    bare = Tower.parse(json.dumps(DESCRIPTION), origin="a test")
    assert (bare.version, bare.licence, bare.sha256) == ("unversioned", "not stated", "")
    assert (bare.quantiles, bare.quantiles_of) == ((), "")
    means = [4 + i / 50 for i in range(101)]
    more = {
        "version": "1.2",
        "licence": "CC0-1.0",
        "sha256": "ab",
        "quantiles": means,
        "quantiles_of": "photos",
    }
    tower = Tower.parse(json.dumps(DESCRIPTION | more), origin="a test")
    assert (tower.version, tower.licence, tower.sha256) == ("1.2", "CC0-1.0", "ab")
    assert (tower.quantiles, tower.quantiles_of) == (tuple(means), "photos")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "tower.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ContractError, match=r"tower\.json cannot be read .* iq-tools repository"):
        Tower.read(path)


def test_every_precision_has_an_engine_and_a_graph() -> None:
    assert set(contract.PRECISIONS) == set(contract.GRAPH_FILES)
    assert all(contract.PRECISIONS.values())


def test_every_photo_suffix_is_that_of_a_format_that_is_served() -> None:
    formats = Image.registered_extensions()
    served = {*FORMATS, "MPO"}  # which is opened as a JPEG
    assert {suffix for suffix in contract.PHOTO_SUFFIXES if formats[suffix] not in served} == set()


def test_weights_are_kept_in_the_cache_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert weights_folder() == tmp_path / ".cache" / "siamese-nima" / "weights"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert weights_folder() == tmp_path / ".cache" / "siamese-nima" / "weights"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert weights_folder() == tmp_path / "elsewhere" / "siamese-nima" / "weights"


def test_the_client_says_the_same_in_its_own_words() -> None:
    assert tuple(VOTES) == contract.VOTES
    assert len(VOTES) == contract.VOTE_BINS
    assert SERVED == contract.PHOTO_SUFFIXES
