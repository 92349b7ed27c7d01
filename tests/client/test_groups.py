import importlib
import io
import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from iq_client.cli.run import Outcome
from iq_client.inputs import InputOptions
from PIL import Image, ImageEnhance

from iq_client.groups import Fingerprint, bursts, fingerprint, group_images
from iq_client.results import ImageError, Score

START = datetime(2026, 5, 1, 12, 0, 0)


def at(seconds, bits=0):
    return Fingerprint(None if seconds is None else START + timedelta(seconds=seconds), bits)


def flipped(count, bits=0):
    """`bits` with `count` of them changed."""
    return bits ^ ((1 << count) - 1)


def scored(source, mean, std=1.0):
    return Score(source, mean, std, (0.1,) * 10)


def jpeg(image, **options):
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def sets(labels):
    """Which indices have the same label."""
    groups = {}
    for index, label in enumerate(labels):
        groups.setdefault(label, set()).add(index)
    return sorted(groups.values(), key=min)


def test_photos_close_in_time_and_alike_are_a_burst():
    shots = [at(0), at(2), at(60), at(61.5)]
    assert sets(bursts()(shots)) == [{0, 1}, {2, 3}]


def test_a_burst_is_a_chain():
    shots = [at(2 * index) for index in range(20)]
    assert sets(bursts(max_gap=2)(shots)) == [set(range(20))]


def test_photos_close_in_time_that_differ_are_apart():
    assert sets(bursts()([at(0), at(1, flipped(30))])) == [{0}, {1}]


def test_the_order_given_does_not_matter():
    shots = [at(61.5), at(0), at(60), at(2)]
    assert sets(bursts()(shots)) == [{0, 2}, {1, 3}]


def test_without_a_time_the_likeness_alone_counts():
    assert sets(bursts()([at(None), at(1000, flipped(8))])) == [{0, 1}]
    assert sets(bursts()([at(None), at(1000, flipped(9))])) == [{0}, {1}]


def test_what_two_photos_within_seconds_may_differ_in():
    assert sets(bursts()([at(0), at(1, flipped(18))])) == [{0, 1}]
    assert sets(bursts()([at(0), at(1, flipped(19))])) == [{0}, {1}]


def test_photos_that_could_not_be_read_are_alone():
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
def test_the_sets_are_those_of_the_definition(given_fingerprints):
    """Against the plain closure over all pairs."""

    def related(a, b):
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


def test_groups_come_best_first_and_so_do_their_members():
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


def test_the_lower_bound_as_key():
    scores = [scored("disputed", 6, 3.0), scored("agreed", 5, 1.0)]
    by_mean = group_images(scores, [at(0), at(50)])
    by_bound = group_images(scores, [at(0), at(50)], key="lower_bound")
    assert [group.best.score.source for group in by_mean] == ["disputed", "agreed"]
    assert [group.best.score.source for group in by_bound] == ["agreed", "disputed"]


def test_the_grouping_can_be_replaced():
    scores = [scored(name, 5) for name in "abcd"]
    groups = group_images(scores, [at(0)] * 4, grouping=lambda found: ["x", "y", "x", "y"])
    assert [[row.score.source for row in group.images] for group in groups] == [
        ["a", "c"],
        ["b", "d"],
    ]


def test_a_grouping_that_labels_too_few_is_an_error():
    with pytest.raises(ValueError, match="zip"):
        group_images([scored("a", 5)] * 2, [at(0)] * 2, grouping=lambda found: [1])


def test_negative_limits_are_refused():
    with pytest.raises(ValueError, match="0 or more"):
        bursts(max_gap=-1)


def test_no_photos():
    assert group_images([], []) == []


def exif(**tags):
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
def test_when_a_photo_was_taken(tags, taken):
    assert fingerprint(jpeg(Image.new("RGB", (64, 64)), exif=exif(**tags))).taken == taken


def test_orientation_does_not_change_the_hash():
    levels = np.random.default_rng(0).integers(0, 256, (5, 8, 3), np.uint8)
    image = Image.fromarray(levels).resize((320, 200), Image.Resampling.BICUBIC)
    turned = Image.Exif()
    turned[0x0112] = 6
    upright = fingerprint(jpeg(image, quality=95)).hash
    rotated = fingerprint(
        jpeg(image.transpose(Image.Transpose.ROTATE_90), quality=95, exif=turned)
    ).hash
    assert (upright ^ rotated).bit_count() <= 2


@pytest.mark.parametrize("data", [b"", b"no image", jpeg(Image.new("RGB", (64, 64)))[:200]])
def test_what_is_no_image_has_no_hash(data):
    assert fingerprint(data) == Fingerprint(None, None)


def test_without_imagehash_it_says_what_to_install():
    code = (
        "import sys; sys.modules['imagehash'] = None\n"
        "from iq_client.groups import fingerprint\n"
        "try: fingerprint(b'')\n"
        "except ImportError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'iq-client[groups]'" in run.stdout


def shot_again(image, random):
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
def test_the_default_distances_on_real_photos():
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
        hashes.append(fingerprint(path.read_bytes()).hash)
        copies.append(fingerprint(jpeg(small, quality=60)).hash)
        shots.append(
            [fingerprint(jpeg(shot_again(image, random), quality=q)).hash for q in (75, 90)]
        )

    def within(bits, pairs):
        return np.mean([(a ^ b).bit_count() <= bits for a, b in pairs])

    others = [(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert within(8, zip(hashes, copies, strict=True)) >= 0.98
    assert within(8, others) == 0
    assert within(18, shots) >= 0.98
    assert within(18, others) <= 0.002


def test_ctrl_c_while_hashing_groups_what_was_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = importlib.import_module("iq_client.cli.groups")
    outcome = Outcome()

    def interrupting(data: bytes) -> Fingerprint:
        if data == b"3":
            os.kill(os.getpid(), signal.SIGINT)
        return Fingerprint(None, int(data))

    monkeypatch.setattr(command, "fingerprint", interrupting)
    scores = []
    for number in range(200):
        path = tmp_path / f"{number}.jpg"
        path.write_text(str(number))
        scores.append(Score(str(path), 5.0, 1.0, (0.1,) * 10))
    found = command._fingerprints(scores, InputOptions(), outcome)
    assert outcome.exit_code == 130
    assert len(found) == len(scores)
    hashed = [each.hash for each in found if each.hash is not None]
    assert hashed == list(range(len(hashed)))
    assert len(hashed) < len(scores)
