"""Damaged files are refused with a code or shown, and change nothing for those beside them."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tests.serving.files import encoded, photo

from iq_serving.contract import Limits
from iq_serving.decoding import HostDecoder
from iq_serving.errors import ImageError
from iq_serving.preprocessing import load_pixels

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SIZE = (40, 60)
MUTANTS = 300
CODES = {"UNREADABLE", "UNSUPPORTED", "TOO_LARGE", "EMPTY"}


@pytest.fixture(scope="module")
def soak() -> ModuleType:
    """The benchmark that does the same for hours, in a server."""
    spec = importlib.util.spec_from_file_location("soak", BENCHMARKS / "soak.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
        patch.setitem(sys.modules, spec.name, module)  # where its dataclasses look
        spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore::UserWarning")  # of decoders, about the damage
def test_damage_is_a_code_and_no_neighbour_changes(soak: ModuleType) -> None:
    good = encoded(photo(), "JPEG")
    expected = load_pixels(good, image_size=SIZE)
    seeds = list(soak.seeds_of([good]))
    found: Counter[str] = Counter()
    with closing(
        HostDecoder(image_size=SIZE, interpolation="bilinear", limits=Limits(), threads=2)
    ) as host:
        for number in range(MUTANTS):
            damaged = host.submit(soak.mutant(seeds, 7, number))
            neighbour = host.submit(good)
            try:
                assert damaged.result().shape == (*SIZE, 3)
                found["OK"] += 1
            except ImageError as error:
                found[error.code] += 1
            np.testing.assert_array_equal(neighbour.result(), expected)
    assert found["OK"]
    assert found["UNREADABLE"]
    assert found.keys() <= CODES | {"OK"}
