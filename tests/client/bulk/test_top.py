"""The best photos of an output folder."""

from __future__ import annotations

import random

import pytest

from iq_client import Score
from iq_client.bulk.manifest import FILE, Manifest, Shard
from iq_client.bulk.shard import Columns
from iq_client.bulk.store import Folder
from iq_client.bulk.top import top
from iq_client.errors import BulkError
from iq_client.results import ImageError


@pytest.fixture
def means(output: Folder) -> list[float | None]:
    """Means of a run of five shards, the last of which is missing; some photos have none."""
    numbers = random.Random(0)
    means: list[float | None] = []
    shards = []
    for number in range(5):
        shard = Shard(f"{number}", "tar", "x.tar")
        shards.append(shard)
        if number == 4:
            continue
        columns = Columns()
        for _ in range(50):
            mean = None if numbers.random() < 0.1 else numbers.randrange(4, 36) / 4
            name = str(len(means))
            means.append(mean)
            columns.append(
                Score.failed(name, ImageError("EMPTY", "no bytes"))
                if mean is None
                else Score(name, mean, 1.0, (0.1,) * 10)
            )
        output.write(shard.file, columns.to_parquet(None))
    output.write(FILE, Manifest(("x.tar",), tuple(shards)).to_json().encode())
    assert None in means and len(set(means)) > 20
    return means


@pytest.mark.parametrize("count", [1, 7, 60, 1000])
def test_the_best_come_first_and_of_equal_ones_the_first(
    output: Folder, means: list[float | None], count: int
) -> None:
    scored = [(mean, str(number)) for number, mean in enumerate(means) if mean is not None]
    expected = sorted(scored, key=lambda each: -each[0])[:count]
    assert top(output, count) == expected


def test_a_folder_of_something_else_is_named(output: Folder) -> None:
    with pytest.raises(BulkError, match="holds no bulk run"):
        top(output, 1)


def test_a_damaged_file_is_named(output: Folder, means: list[float | None]) -> None:
    output.write("2.parquet", b"nonsense")
    with pytest.raises(BulkError, match=r"cannot read .*2\.parquet"):
        top(output, 1)
