"""The state of an output folder."""

from __future__ import annotations

import pytest
from tests.client.bulk.conftest import MakePhotos

from iq_client import Client, TowerIdentity
from iq_client.bulk.manifest import plan
from iq_client.bulk.shard import score_shard
from iq_client.bulk.status import Status, status
from iq_client.bulk.store import Folder
from iq_client.bulk.tower import pin_tower
from iq_client.errors import BulkError
from iq_client.images.inputs import InputOptions


def test_it_counts_what_is_there(
    output: Folder, make_photos: MakePhotos, client: Client, tower: TowerIdentity
) -> None:
    paths = make_photos(25)
    inputs = str(paths[0].parent)
    made = plan([inputs], output, 10)
    empty = Status((inputs,), 3, 0, 25, 0, {}, ("00000", "00001", "00002"), None)
    assert status(output) == empty
    for path in (paths[2], paths[21]):
        path.unlink()
    pin_tower(output, tower)
    for shard in (made.shards[0], made.shards[2]):
        score_shard(shard, output, client, tower, inputs=InputOptions())
    expected = Status((inputs,), 3, 2, 25, 15, {"NOT_FOUND": 2}, ("00001",), tower)
    assert status(output) == expected


def test_a_folder_of_something_else_is_named(output: Folder) -> None:
    with pytest.raises(BulkError, match="holds no bulk run"):
        status(output)
