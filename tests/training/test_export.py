"""SavedModels that appear whole or not at all; what they compute is compared in the chain."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from siamese_nima.export import SIGNATURE, TOWER_JSON, export_saved_model
from siamese_nima.towers.registry import Tower, build_tower


def test_an_interrupted_export_leaves_the_one_before(
    tmp_path: Path, tiny: Tower, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "new" / "saved_model"
    model = build_tower(tiny)
    export_saved_model(tiny, model, output, interpolation="nearest")
    save = tf.saved_model.save

    def fail(*arguments: object, **options: object) -> None:
        save(*arguments, **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="No space"):
        export_saved_model(tiny, model, output, interpolation="bilinear")
    assert json.loads((output / TOWER_JSON).read_text())["interpolation"] == "nearest"
    assert [path.name for path in output.parent.iterdir()] == ["saved_model"]
    monkeypatch.undo()
    facts = {"version": "1.2", "licence": "CC0-1.0"}
    export_saved_model(tiny, model, output, interpolation="bilinear", facts=facts)
    described = json.loads((output / TOWER_JSON).read_text())
    assert described.items() >= {"interpolation": "bilinear", **facts}.items()
    pixels = np.random.default_rng(0).integers(0, 256, (2, *tiny.image_size, 3), np.uint8)
    graph = tf.saved_model.load(str(output)).signatures[SIGNATURE]
    scores = graph(PIXELS=tf.constant(pixels))
    want = np.asarray(model(tiny.normalise(pixels.astype(np.float32))))
    assert np.ptp(want[0] - want[1]) > 0
    np.testing.assert_allclose(scores["DISTRIBUTION"], want, atol=1e-6)
    np.testing.assert_allclose(scores["MEAN"][:, 0], want @ np.arange(1, 11), rtol=1e-5)
