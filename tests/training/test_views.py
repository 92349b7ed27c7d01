"""Photos, their split, their distortions and the views drawn from them."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from siamese_nima.data.distortions import (
    DISTORTIONS,
    LEVELS,
    WORKING_SIDE,
    distort,
    working_picture,
)
from siamese_nima.data.photos import find_photos, split_by_content
from siamese_nima.views import (
    SMALLEST_STEP,
    UNDISTORTED,
    View,
    _severities,
    evaluation_views,
    training_views,
)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = []
    for index in range(3):
        coarse = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8))
        path = tmp_path / f"{index}.png"
        coarse.resize((160, 120), Image.Resampling.BICUBIC).save(path)
        paths.append(path)
    return paths


@pytest.mark.parametrize("kind", DISTORTIONS)
def test_a_higher_level_is_farther_from_the_photo(kind: str, photos: list[Path]) -> None:
    picture = working_picture(photos[0].read_bytes())
    clean = np.asarray(picture, np.float32)
    errors = []
    for severity in LEVELS:
        distorted = distort(picture, kind, severity, np.random.default_rng(0))
        assert distorted.size == picture.size
        assert distorted.mode == "RGB"
        errors.append(float(np.abs(np.asarray(distorted, np.float32) - clean).mean()))
    assert errors == sorted(errors)
    assert errors[0] > 0


def test_severity_out_of_range_is_an_error(photos: list[Path]) -> None:
    with Image.open(photos[0]) as picture, pytest.raises(ValueError, match=r"not in 0…1"):
        distort(picture, "blur", 1.5, np.random.default_rng(0))


def file_of(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def test_working_picture_is_rgb_and_small() -> None:
    picture = working_picture(file_of(Image.new("L", (3000, 1000))))
    assert picture.mode == "RGB"
    assert picture.size == (WORKING_SIDE, round(WORKING_SIDE / 3))


def test_working_picture_is_not_enlarged() -> None:
    assert working_picture(file_of(Image.new("RGB", (30, 10)))).size == (30, 10)


def test_working_picture_is_what_people_see() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = working_picture(file_of(Image.new("RGB", (300, 100)), "JPEG", exif=exif))
    assert turned.size == (100, 300)
    through = working_picture(file_of(Image.new("RGBA", (8, 8), (255, 0, 0, 0))))
    assert np.asarray(through).min() == 255


def same(a: list[View], b: list[View]) -> bool:
    return len(a) == len(b) and all(
        (x.photo, x.kind, x.severity, x.whole) == (y.photo, y.kind, y.severity, y.whole)
        and x.image.tobytes() == y.image.tobytes()
        for x, y in zip(a, b, strict=True)
    )


def test_views_are_drawn_from_the_seed(photos: list[Path]) -> None:
    drawn = [list(training_views(photos, crops=2, rungs=2, seed=seed)) for seed in (1, 1, 2)]
    assert same(drawn[0], drawn[1])
    assert not same(drawn[0], drawn[2])
    assert len(drawn[0]) == 3 * (1 + 2 + 2 * len(DISTORTIONS))


def test_random_views_are_plain_crops_recoloured_and_mixed(photos: list[Path]) -> None:
    drawn = list(training_views(photos, crops=60, rungs=1, seed=0))
    views = [view.image for view in drawn if view.photo == 2 and not view.whole]
    own = {tuple(c) for c in np.asarray(working_picture(photos[2].read_bytes())).reshape(-1, 3)}
    plain = sum({tuple(c) for c in np.asarray(view).reshape(-1, 3)} <= own for view in views)
    assert 15 < plain < 45  # of 60; the others have colours that the photo has not


def test_evaluation_views_hold_every_level(photos: list[Path]) -> None:
    views = list(evaluation_views(photos, seed=0))
    assert all(view.whole for view in views)
    for kind in DISTORTIONS:
        assert [v.severity for v in views if v.photo == 1 and v.kind == kind] == list(LEVELS)
    assert [v.severity for v in views if not v.kind] == [UNDISTORTED] * 3


@given(st.integers(1, 5), st.integers(0, 10**6))
def test_rungs_stand_apart(rungs: int, seed: int) -> None:
    severities = _severities(rungs, np.random.default_rng(seed))
    assert all(0 <= s <= 1 for s in severities)
    assert all(b - a >= SMALLEST_STEP - 1e-9 for a, b in pairwise(severities))


def test_copies_never_stand_on_both_sides(tmp_path: Path) -> None:
    for index in range(60):
        (tmp_path / f"{index}.jpg").write_bytes(bytes([index // 2]))
    training, held_out = split_by_content(find_photos([tmp_path]), 0.5)
    assert len(training) + len(held_out) == 30
    assert {p.read_bytes() for p in training}.isdisjoint(p.read_bytes() for p in held_out)
    assert training
    assert held_out


def test_what_is_never_held_out_holds_no_copy_of_what_is(tmp_path: Path) -> None:
    for folder in ("judged", "more"):
        (tmp_path / folder).mkdir()
    for index in range(60):
        (tmp_path / "judged" / f"{index}.jpg").write_bytes(bytes([index]))
        (tmp_path / "more" / f"{index}.jpg").write_bytes(bytes([index + 30]))
    training, held_out = split_by_content(
        find_photos([tmp_path / "judged"]), 0.5, never_held_out=find_photos([tmp_path / "more"])
    )
    assert held_out == split_by_content(find_photos([tmp_path / "judged"]), 0.5)[1]
    assert len({p.read_bytes() for p in training + held_out}) == len(training + held_out) == 90


def test_missing_and_empty_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        find_photos([tmp_path / "missing"])
    with pytest.raises(FileNotFoundError, match="holds no photos"):
        find_photos([tmp_path])
