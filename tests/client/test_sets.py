"""Brackets, stacks and panoramas among photos with a camera's EXIF; bursts stay bursts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from PIL import Image, ImageFilter
from tests.client.shots import exposed, scene, shot, view

from iq_client.groups import fingerprint, group_images
from iq_client.results import Score
from iq_client.sets import find_sets

SCENE = scene()
WIDE = scene(5, width=1000)


def found(shots: Sequence[bytes]) -> list[tuple[str, list[int]]]:
    prints = [fingerprint(data) for data in shots]
    return [(each.kind, list(each.members)) for each in find_sets(prints, [""] * len(prints))]


def bracket(stops: Sequence[float], start: float = 0) -> list[bytes]:
    """One scene with so many EV more and less, two shots a second; the bias says nothing."""
    return [
        shot(exposed(SCENE, stop), start + index / 2, exposure=2**stop / 100)
        for index, stop in enumerate(stops)
    ]


def plain(start: float, count: int = 3) -> list[bytes]:
    """A burst from the hand of another scene."""
    image = scene(3)
    return [
        shot(image.crop((5 * index, 0, 330 + 5 * index, 240)), start + index / 4)
        for index in range(count)
    ]


@pytest.mark.parametrize("stops", [(0, -2, 2), (-2, -1, 0, 1, 2), (0, -0.7, 0.7)])
def test_a_bracket_by_its_exposure_times(stops: Sequence[float]) -> None:
    assert found(bracket(stops)) == [("bracket", list(range(len(stops))))]


def test_brackets_one_after_the_other_and_other_shots_around_them() -> None:
    shots = [*plain(0), *bracket((0, -2, 2), 10), *bracket((0, -2, 2), 11.6), *plain(20)]
    assert found(shots) == [("bracket", [3, 4, 5]), ("bracket", [6, 7, 8])]


def test_a_bracket_that_the_camera_marks_may_be_of_two_and_slow() -> None:
    shots = [
        shot(SCENE, 0, bracket=True),
        shot(exposed(SCENE, -1), 9, exposure=1 / 200, bracket=True),
    ]
    assert found(shots) == [("bracket", [0, 1])]


def test_shots_of_one_exposure_are_no_bracket_though_marked() -> None:
    assert found([shot(SCENE, second, bracket=True) for second in range(3)]) == []


@pytest.mark.parametrize(("biased", "sets"), [(True, [("bracket", [0, 1, 2])]), (False, [])])
def test_small_steps_are_a_bracket_where_the_bias_says_so(
    biased: bool, sets: list[tuple[str, list[int]]]
) -> None:
    shots = [
        shot(exposed(SCENE, stop), index / 2, exposure=2**stop / 100, bias=stop if biased else 0)
        for index, stop in enumerate((0, -1 / 3, 1 / 3))
    ]
    assert found(shots) == sets


def test_an_automatic_exposure_that_follows_the_light_is_a_burst() -> None:
    """The times differ as in a bracket, and the pictures are equally bright."""
    shots = [shot(SCENE, index / 2, exposure=2**stop / 100) for index, stop in enumerate((0, 1, 2))]
    assert found(shots) == []


def test_different_pictures_of_different_exposures_are_no_bracket() -> None:
    shots = [
        shot(exposed(scene(seed), stop), seed, exposure=2**stop / 100)
        for seed, stop in enumerate((-1, 0, 1))
    ]
    assert found(shots) == []


def test_a_bracket_that_took_minutes_was_not_one() -> None:
    assert found([*bracket((-2,)), *bracket((0,), 60), *bracket((2,), 120)]) == []


def test_long_exposures_do_not_count_as_pauses() -> None:
    shots = [
        shot(exposed(SCENE, stop), start, exposure=8 * 2.0**stop)
        for stop, start in ((-1, 0), (0, 5), (1, 14))
    ]
    assert found(shots) == [("bracket", [0, 1, 2])]


def focused(distances: Sequence[float | None]) -> list[bytes]:
    return [
        shot(SCENE.filter(ImageFilter.GaussianBlur(abs(index - 3))), index / 2, distance=distance)
        for index, distance in enumerate(distances)
    ]


EVEN = [1 / (1 + step / 4) for step in range(7)]  # metres: a quarter of a dioptre a step


@pytest.mark.parametrize("distances", [EVEN, EVEN[::-1], EVEN[:5]])
def test_a_stack_goes_evenly_through_the_focus(distances: list[float]) -> None:
    assert found(focused(distances)) == [("stack", list(range(len(distances))))]


@pytest.mark.parametrize(
    "distances",
    [
        [1.0] * 7,
        [1.0, 1.02, 1.01, 1.03, 1.0, 1.02, 1.01],  # automatic focus, not sure
        EVEN[:4],
        [10, 8, 4, 2, 1],  # someone comes near: ever larger steps
        [None] * 7,
    ],
)
def test_bursts_are_no_stacks(distances: list[float | None]) -> None:
    assert found(focused(distances)) == []


def panned(image: Image.Image, lefts: Sequence[int], pause: float = 2) -> list[bytes]:
    return [shot(view(image, left), pause * index) for index, left in enumerate(lefts)]


def test_a_panorama_pans_one_way_at_one_exposure() -> None:
    assert found(panned(WIDE, (0, 130, 260, 390))) == [("panorama", [0, 1, 2, 3])]
    upright = WIDE.rotate(90, expand=True)
    shots = [
        shot(upright.crop((0, top, 240, top + 240)), 2 * index)
        for index, top in enumerate((0, 130, 260))
    ]
    assert found(shots) == [("panorama", [0, 1, 2])]


@pytest.mark.parametrize(
    "shots",
    [
        panned(WIDE, (0, 130)),  # two
        panned(WIDE, (0, 10, 20, 30)),  # from the hand
        panned(WIDE, (0, 130, 260, 390), 0.1),  # ten a second: follows someone
        panned(WIDE, (0, 130, 0, 130)),  # there and back
        [shot(scene(seed), 2 * seed) for seed in range(4)],  # different pictures
        [shot(view(WIDE, 130 * i), 2 * i, exposure=2**i / 100) for i in range(4)],
        panned(WIDE, (0, 130, 260), 60),
    ],
    ids=["two", "hand", "quick", "back", "other pictures", "other exposures", "slow"],
)
def test_what_is_no_panorama(shots: list[bytes]) -> None:
    assert found(shots) == []


def test_two_panoramas_there_and_back_have_no_photo_in_common() -> None:
    assert found(panned(WIDE, (0, 130, 260, 390, 260, 130, 0))) == [
        ("panorama", [0, 1, 2, 3]),
        ("panorama", [4, 5, 6]),
    ]


def test_a_set_is_of_one_camera_and_one_folder() -> None:
    shots = bracket((0, -2, 2))
    prints = [fingerprint(data) for data in shots]
    copies = find_sets([each for each in prints for _ in "ab"], ["a", "b"] * 3)
    assert [each.members for each in copies] == [(0, 2, 4), (1, 3, 5)]
    assert find_sets(prints, ["a", "a", "b"]) == []
    other = fingerprint(shot(exposed(SCENE, 2), 1, exposure=4 / 100, model="Camera 2"))
    assert find_sets([*prints[:2], other], [""] * 3) == []


def test_sets_stay_whole_and_bursts_do_not() -> None:
    shots = [*bracket((0, -2, 2)), *plain(20)]
    scores = [Score(str(index), 4 + index / 10, 1.0, (0.1,) * 10) for index in range(6)]
    prints = [fingerprint(data) for data in shots]
    burst, whole = group_images(scores, prints)
    assert (burst.kind, whole.kind) == (None, "bracket")
    assert [row.score.source for row in burst.kept(1)] == ["5"]
    assert {row.score.source for row in whole.kept(1)} == {"0", "1", "2"}
    without = group_images(scores, prints, sets=False)
    assert [(group.kind, len(group.kept(1))) for group in without] == [(None, 1)] * 2
