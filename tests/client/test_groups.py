"""Groups of near-identical photos."""

from __future__ import annotations

import functools
import io
import os
import statistics
import subprocess
import sys
from collections.abc import Hashable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from iq_client.groups import (
    UNKNOWN,
    Fingerprint,
    Fingerprints,
    bursts,
    fingerprint,
    group_images,
)
from iq_client.images.source import Source
from iq_client.results import ImageError, Score

START = datetime(2026, 5, 1, 12, 0, 0)


def at(seconds: float | None, bits: int | None = 0) -> Fingerprint:
    return Fingerprint(None if seconds is None else START + timedelta(seconds=seconds), bits)


def flipped(count: int, bits: int = 0) -> int:
    """`bits` with `count` of them changed."""
    return bits ^ ((1 << count) - 1)


def scored(source: str, mean: float, std: float = 1.0) -> Score:
    return Score(source, mean, std, (0.1,) * 10)


def jpeg(image: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def hash_of(data: bytes) -> int:
    found = fingerprint(data).hash
    assert found is not None
    return found


def sets(labels: Sequence[Hashable]) -> list[set[int]]:
    """Sets of indices with the same label."""
    groups: dict[Hashable, set[int]] = {}
    for index, label in enumerate(labels):
        groups.setdefault(label, set()).add(index)
    return sorted(groups.values(), key=min)


def test_photos_close_in_time_and_alike_are_a_burst() -> None:
    shots = [at(0), at(2), at(60), at(61.5)]
    assert sets(bursts()(shots)) == [{0, 1}, {2, 3}]


def test_a_burst_is_a_chain() -> None:
    shots = [at(2 * index) for index in range(20)]
    assert sets(bursts(max_gap=2)(shots)) == [set(range(20))]


def test_photos_close_in_time_that_differ_are_apart() -> None:
    assert sets(bursts()([at(0), at(1, flipped(30))])) == [{0}, {1}]


def test_the_order_given_does_not_matter() -> None:
    shots = [at(61.5), at(0), at(60), at(2)]
    assert sets(bursts()(shots)) == [{0, 2}, {1, 3}]


def test_without_a_time_the_likeness_alone_counts() -> None:
    assert sets(bursts()([at(None), at(1000, flipped(8))])) == [{0, 1}]
    assert sets(bursts()([at(None), at(1000, flipped(9))])) == [{0}, {1}]


def test_what_two_photos_within_seconds_may_differ_in() -> None:
    assert sets(bursts()([at(0), at(1, flipped(18))])) == [{0, 1}]
    assert sets(bursts()([at(0), at(1, flipped(19))])) == [{0}, {1}]


def test_photos_that_could_not_be_read_are_alone() -> None:
    unread = Fingerprint(None, None)
    assert sets(bursts()([unread, at(None), unread, at(None)])) == [{0}, {1, 3}, {2}]


fingerprints = st.lists(
    st.builds(
        Fingerprint,
        st.none() | st.integers(0, 20).map(lambda seconds: START + timedelta(seconds=seconds)),
        st.none() | st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**64 - 1, 0xFFFFF]),
    ),
    max_size=25,
)


@given(fingerprints)
def test_the_sets_are_those_of_the_definition(given_fingerprints: list[Fingerprint]) -> None:
    """Against the plain closure over all pairs."""

    def related(a: Fingerprint, b: Fingerprint) -> bool:
        if a.hash is None or b.hash is None:
            return False
        differing = (a.hash ^ b.hash).bit_count()
        if a.taken is None or b.taken is None:
            return differing <= 8
        return abs(a.taken - b.taken) <= timedelta(seconds=3) and differing <= 18

    groups = [{index} for index in range(len(given_fingerprints))]
    for i, a in enumerate(given_fingerprints):
        for j, b in enumerate(given_fingerprints[:i]):
            if related(a, b):
                mine = next(group for group in groups if i in group)
                other = next(group for group in groups if j in group)
                if mine is not other:
                    mine |= other
                    groups.remove(other)
    assert sets(bursts()(given_fingerprints)) == sorted(groups, key=min)


def test_groups_come_best_first_and_so_do_their_members() -> None:
    failed = Score.failed("f", ImageError("EMPTY", "no bytes"))
    scores = [scored("a", 4), scored("b", 6), failed, scored("c", 5), scored("d", 7)]
    groups = group_images(scores, [at(0), at(1), at(None, None), at(50), at(2)])
    assert [[row.score.source for row in group.images] for group in groups] == [
        ["d", "b", "a"],
        ["c"],
        ["f"],
    ]
    assert [row.rank for row in groups[0].images] == [1, 2, 3]
    assert groups[2].best.rank is None


def test_the_lower_bound_as_key() -> None:
    scores = [scored("disputed", 6, 3.0), scored("agreed", 5, 1.0)]
    by_mean = group_images(scores, [at(0), at(50)])
    by_bound = group_images(scores, [at(0), at(50)], key="lower_bound")
    assert [group.best.score.source for group in by_mean] == ["disputed", "agreed"]
    assert [group.best.score.source for group in by_bound] == ["agreed", "disputed"]


def test_the_grouping_can_be_replaced() -> None:
    scores = [scored(name, 5) for name in "abcd"]
    groups = group_images(scores, [at(0)] * 4, grouping=lambda found: ["x", "y", "x", "y"])
    assert [[row.score.source for row in group.images] for group in groups] == [
        ["a", "c"],
        ["b", "d"],
    ]


def test_a_grouping_that_labels_too_few_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        group_images([scored("a", 5)] * 2, [at(0)] * 2, grouping=lambda found: [1])


def test_negative_limits_are_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        bursts(max_gap=-1)


def test_no_photos() -> None:
    assert group_images([], []) == []


def exif(**tags: str) -> Image.Exif:
    names = {"original": 0x9003, "fraction": 0x9291, "digitized": 0x9004}
    made = Image.Exif()
    for name, value in tags.items():
        made.get_ifd(0x8769)[names[name]] = value
    return made


@pytest.mark.parametrize(
    ("tags", "taken"),
    [
        ({"original": "2026:05:01 12:00:00"}, START),
        (
            {"original": "2026:05:01 12:00:00", "fraction": "25"},
            START + timedelta(milliseconds=250),
        ),
        ({"digitized": "2026:05:01 12:00:00"}, START),
        ({"original": "0000:00:00 00:00:00", "digitized": "2026:05:01 12:00:00"}, START),
        ({"original": "    :  :     :  :  "}, None),
        ({"original": "2026:05:01 12:00:00", "fraction": "x"}, START),
        ({}, None),
    ],
)
def test_when_a_photo_was_taken(tags: dict[str, str], taken: datetime | None) -> None:
    assert fingerprint(jpeg(Image.new("RGB", (64, 64)), exif=exif(**tags))).taken == taken


def test_orientation_does_not_change_the_hash() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (5, 8, 3), np.uint8)
    image = Image.fromarray(levels).resize((320, 200), Image.Resampling.BICUBIC)
    turned = Image.Exif()
    turned[0x0112] = 6
    upright = hash_of(jpeg(image, quality=95))
    rotated = hash_of(jpeg(image.transpose(Image.Transpose.ROTATE_90), quality=95, exif=turned))
    assert (upright ^ rotated).bit_count() <= 2


@pytest.mark.parametrize("data", [b"", b"no image", jpeg(Image.new("RGB", (64, 64)))[:200]])
def test_what_is_no_image_has_no_hash(data: bytes) -> None:
    assert fingerprint(data) == Fingerprint(None, None)


def test_without_imagehash_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['imagehash'] = None\n"
        "from iq_client.groups import fingerprint\n"
        "try: fingerprint(b'')\n"
        "except ImportError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'iq-client[groups]'" in run.stdout


def shot_again(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """The photo as a hand would have taken it a moment later: moved, turned, exposed otherwise."""
    turned = image.rotate(random.uniform(-1, 1), Image.Resampling.BICUBIC)
    zoom = random.uniform(0.98, 1.02) / 0.88
    size = np.array(image.size) / zoom
    middle = np.array(image.size) * (0.5 + random.uniform(-0.015, 0.015, 2))
    left, top = middle - size / 2
    right, bottom = middle + size / 2
    crop = turned.crop((round(left), round(top), round(right), round(bottom)))
    return ImageEnhance.Brightness(crop).enhance(random.uniform(0.9, 1.1))


@pytest.mark.skipif("IQ_DATA" not in os.environ, reason="needs photos: set IQ_DATA")
def test_the_default_distances_on_real_photos() -> None:
    random = np.random.default_rng(0)
    data = Path(os.environ["IQ_DATA"])
    paths = [
        *sorted(data.glob("bsds500/**/*.jpg"))[:150],
        *sorted(data.glob("oasis/**/*.jpg"))[:150],
    ]
    hashes, shots, copies = [], [], []
    for path in paths:
        with Image.open(path) as file:
            image = file.convert("RGB")
        small = image.resize((image.width * 2 // 3, image.height * 2 // 3))
        hashes.append(hash_of(path.read_bytes()))
        copies.append(hash_of(jpeg(small, quality=60)))
        first, second = (hash_of(jpeg(shot_again(image, random), quality=q)) for q in (75, 90))
        shots.append((first, second))

    def within(bits: int, pairs: Iterable[tuple[int, int]]) -> float:
        return statistics.mean([(a ^ b).bit_count() <= bits for a, b in pairs])

    others = [(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert within(8, zip(hashes, copies, strict=True)) >= 0.98
    assert within(8, others) == 0
    assert within(18, shots) >= 0.98
    assert within(18, others) <= 0.002


def test_fingerprints_are_taken_as_images_are_read() -> None:
    prints = Fingerprints()
    picture = jpeg(Image.linear_gradient("L"))
    reads: list[str] = []

    def load(name: str, data: bytes) -> bytes:
        reads.append(name)
        return data

    given = [
        Source(name, functools.partial(load, name, data))
        for name, data in (("a", picture), ("b", b"no image"), ("c", picture))
    ]
    watched = [prints.watch(source) for source in given]
    assert reads == []
    assert watched[1].load() == b"no image" and watched[0].load() == picture
    assert reads == ["b", "a"]
    assert prints.first(3) == [fingerprint(picture), UNKNOWN, UNKNOWN]
    assert prints.first(1) == [fingerprint(picture)]
    assert fingerprint(picture) != UNKNOWN
