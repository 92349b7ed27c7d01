"""Parts of a tower."""

from __future__ import annotations

import numpy as np
import pytest

from siamese_nima.errors import ConfigError
from siamese_nima.towers.parts import tower_part
from siamese_nima.towers.registry import Tower, build_tower


def test_two_parts_are_the_whole(tiny: Tower) -> None:
    model = build_tower(tiny)
    pixels = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
    lower = tower_part(model, through="low_relu")
    upper = tower_part(model, after="low_relu")
    assert np.ptp(model(pixels)) > 0
    np.testing.assert_allclose(upper(lower(pixels)), model(pixels), atol=1e-6)


@pytest.mark.parametrize("side", ["after", "through"])
def test_a_layer_that_is_not_there_is_named(tiny: Tower, side: str) -> None:
    with pytest.raises(ConfigError, match=r"no layer 'lowest'; it has .*low_relu"):
        tower_part(build_tower(tiny), **{side: "lowest"})
