"""Pipelines: the server's pixels, in the order asked for, cropped, softened and mirrored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from iq_serving.preprocessing import load_pixels
from siamese_nima.data.pipeline import augment, feature_batches, pixel_batches
from siamese_nima.data.samples import Sample


def whole(count: int) -> npt.NDArray[np.float32]:
    return np.tile(np.array([0, 0, 1, 1], np.float32), (count, 1))


def test_pipeline_is_the_servers_preprocessing_in_the_order_asked_for(labelled: Path) -> None:
    photos = sorted((labelled / "photos").glob("*.png"))
    samples = [Sample(path, 0.0) for path in photos]
    rows = np.array([5, 0, 0, 17, 3])
    mirrored = np.array([False, True, False, False, True])
    batches = list(
        pixel_batches(
            samples, rows, mirrored, whole(5), np.ones(5, np.float32), batch_size=2,
            image_size=(32, 40), interpolation="bilinear", workers=2,
        )
    )  # fmt: skip
    assert [len(batch_rows) for batch_rows, _ in batches] == [2, 2, 1]
    assert np.concatenate([r.numpy() for r, _ in batches]).tolist() == rows.tolist()
    pixels = np.concatenate([p.numpy() for _, p in batches])
    for got, row, mirror in zip(pixels, rows, mirrored, strict=True):
        want = load_pixels(photos[row].read_bytes(), image_size=(32, 40))
        assert np.array_equal(got, want[:, ::-1] if mirror else want)


def test_nothing_tunes_a_pipeline(labelled: Path) -> None:
    # The thread that does can hold up the end of an epoch for seconds.
    samples = [Sample(path, 0.0) for path in sorted((labelled / "photos").glob("*.png"))]
    rows = np.arange(4)
    still = np.zeros(4, np.bool_)
    pixels = pixel_batches(
        samples, rows, still, whole(4), np.ones(4, np.float32), batch_size=2, image_size=(32, 32),
        interpolation="bilinear",
    )  # fmt: skip
    features = feature_batches(np.zeros((4, 2), np.float32), rows, rows, batch_size=2)
    assert pixels.options().autotune.enabled is features.options().autotune.enabled is False


def test_a_crop_is_the_part_resized_and_nothing_is_done_without() -> None:
    rng = np.random.default_rng(4)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    pixels: npt.NDArray[Any] = np.asarray(coarse.resize((80, 60), Image.Resampling.BICUBIC))
    box = np.array([0.25, 0.1, 0.75, 0.6], np.float32)
    part = Image.fromarray(pixels[6:36, 20:60]).resize((80, 60), Image.Resampling.BILINEAR)
    cropped = augment(pixels, False, box, 1)
    assert cropped.shape == pixels.shape
    inside = (slice(4, -4), slice(4, -4))  # at the sides, a part knows no neighbours
    assert np.abs(cropped[inside].astype(int) - np.asarray(part)[inside]).max() <= 2
    assert np.abs(cropped.astype(int) - pixels).mean() > 5
    assert np.array_equal(augment(pixels, True, box, 1), cropped[:, ::-1])
    assert augment(pixels, False, whole(1)[0], 1) is pixels


def test_a_photo_scaled_down_and_up_is_softer_and_as_large() -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (60, 80, 3), np.uint8)
    box = whole(1)[0]
    milder, softer = (augment(pixels, False, box, scale) for scale in (0.9, 0.75))
    assert milder.shape == softer.shape == pixels.shape
    assert pixels.std() > milder.std() + 1 > softer.std() + 2
    np.testing.assert_allclose(softer.mean(), pixels.mean(), atol=1)
