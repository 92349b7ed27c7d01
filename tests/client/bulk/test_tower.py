"""The one tower of an output folder."""

from __future__ import annotations

from dataclasses import replace

import pytest

from iq_client import TowerIdentity
from iq_client.bulk import tower as towers
from iq_client.bulk.store import Folder
from iq_client.bulk.tower import pin_tower, pinned_tower
from iq_client.errors import BulkError


def test_the_first_to_come_decides(output: Folder, tower: TowerIdentity) -> None:
    assert pinned_tower(output) is None
    pin_tower(output, tower)
    pin_tower(output, tower)
    assert pinned_tower(output) == tower
    for other in (
        replace(tower, name="other"),
        replace(tower, version="9"),
        replace(tower, sha256="9" * 64),
        replace(tower, preprocessing_version=9),
        None,
    ):
        with pytest.raises(BulkError) as caught:
            pin_tower(output, other)
        for each in (tower, other):
            assert towers.in_words(each) in str(caught.value)
    assert pinned_tower(output) == tower


def test_a_server_that_does_not_say_is_one_of_its_own(output: Folder, tower: TowerIdentity) -> None:
    pin_tower(output, None)
    pin_tower(output, None)
    with pytest.raises(BulkError, match="not named"):
        pin_tower(output, tower)


def test_a_damaged_file_is_named(output: Folder) -> None:
    output.write(towers.FILE, b'{"tower": "x"}')
    with pytest.raises(BulkError, match=r"_tower.json"):
        pinned_tower(output)
