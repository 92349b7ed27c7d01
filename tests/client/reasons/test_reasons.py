"""Reasons of the example photos, none of which the models were fitted on, and of their twins."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from iq_client.reasons import REASONS, find_reasons, is_low, models
from iq_client.reasons.measures import Measures
from iq_client.results import ImageError, RankedImage, Reason, Score

PHOTOS = Path(__file__).parents[3] / "examples" / "photos"
REASON_OF: dict[str, Reason] = {
    "blurred": "blurry",
    "noisy": "noisy",
    "overcompressed": "compressed",
    "dark": "underexposed",
}
ORIGINALS = sorted(path.stem for path in PHOTOS.glob("*.jpg") if "-" not in path.stem)
TWINS = sorted(
    path.stem for path in PHOTOS.glob("*-*.jpg") if path.stem.partition("-")[2] in REASON_OF
)


def opened(name: str) -> Image.Image:
    return Image.open(PHOTOS / f"{name}.jpg")


def saved(image: Image.Image, file_format: str, **options: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return Image.open(file)


@pytest.mark.parametrize("twin", TWINS)
def test_a_worsened_twin_has_its_reason(twin: str) -> None:
    original, worsened = twin.split("-")
    reason = REASON_OF[worsened]
    assert reason in find_reasons(opened(twin))
    assert reason not in find_reasons(opened(original))


def test_most_photos_with_two_stops_of_light_too_much_are_overexposed() -> None:
    levels = [min(255, round(value * 2 ** (2 / 2.2))) for value in range(256)] * 3
    brightened = [saved(opened(name).point(levels), "JPEG", quality=92) for name in ORIGINALS]
    named = [find_reasons(each) == ("overexposed",) for each in brightened]
    assert sum(named) >= len(ORIGINALS) / 2


def test_a_good_photo_has_no_reason() -> None:
    assert {name: find_reasons(opened(name)) for name in ORIGINALS} == dict.fromkeys(ORIGINALS, ())


@pytest.mark.parametrize("long_side", [700, 2560])
def test_size_changes_nothing(long_side: int) -> None:
    for name in ("brushes-blurred", "brushes", "fig-dark", "fig"):
        image = opened(name)
        before = find_reasons(image)
        scale = long_side / max(image.size)
        size = (round(image.width * scale), round(image.height * scale))
        resized = image.resize(size, Image.Resampling.LANCZOS)
        assert find_reasons(saved(resized, "JPEG", quality=92)) == before, name


def test_a_sharp_subject_on_a_blurred_ground_is_not_blurry() -> None:
    blurred, sharp = opened("brushes-blurred").convert("RGB"), opened("brushes").convert("RGB")
    assert find_reasons(blurred) == ("blurry",)
    width, height = sharp.size
    box = (width // 3, height // 3, 2 * width // 3, 2 * height // 3)
    blurred.paste(sharp.crop(box), box[:2])
    assert find_reasons(blurred) == ()


def test_compression_is_seen_in_a_cut_copy_and_in_a_large_file() -> None:
    stream = opened("stream-overcompressed")
    cut = saved(stream.crop((3, 5, *stream.size)), "PNG")
    assert "compressed" in find_reasons(cut)
    large = opened("stream").resize((2560, 1704))
    assert "compressed" in find_reasons(saved(large, "JPEG", quality=5))
    assert "compressed" not in find_reasons(saved(large, "JPEG", quality=85))


def test_small_is_less_than_640_times_480() -> None:
    photo = opened("autumn").convert("RGB")
    assert "small" in find_reasons(photo.resize((639, 480)))
    assert "small" not in find_reasons(photo.resize((640, 480)))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_and_size_can_be_looked_at(mode: str) -> None:
    for size in ((1, 1), (3, 900), (17, 17), (60, 40)):
        assert set(find_reasons(Image.new(mode, size))) <= set(REASONS)


def test_each_reason_but_small_has_a_model_of_measures_that_exist() -> None:
    assert {*models(), "small"} == set(REASONS)
    for model in models().values():
        assert set(model.weights) <= set(Measures._fields)


def test_low_is_below_half_of_ordinary_photos_or_of_the_ranking() -> None:
    def row(rank: int, percentile: float | None) -> RankedImage:
        return RankedImage(rank, Score("a", 5.0, 1.0, (0.1,) * 10, percentile=percentile))

    assert [is_low(row(9, percentile), 10) for percentile in (49.9, 50.0)] == [True, False]
    assert is_low(row(1, 3.0), 1)
    assert [is_low(row(rank, None), 5) for rank in (1, 2, 3, 4)] == [False, False, True, True]
    assert not is_low(RankedImage(None, Score.failed("a", ImageError("EMPTY", "no bytes"))), 5)


def test_a_damaged_photo_raises_what_pillow_raises() -> None:
    data = (PHOTOS / "fig.jpg").read_bytes()
    with pytest.raises(OSError, match="truncated"):
        find_reasons(Image.open(io.BytesIO(data[:20_000])))
