"""The best photos of an output folder, in memory for as many as are wanted."""

from __future__ import annotations

import numpy as np

from iq_client.bulk import manifest
from iq_client.bulk.store import Folder
from iq_client.errors import BulkError
from iq_client.formats import import_pyarrow


def top(output: Folder, count: int) -> list[tuple[float, str]]:
    """The photos with the highest means.

    Args:
        output: The folder of a run, which may still be going on.
        count: Photos at most.

    Returns:
        Mean and id of each, best first; of equal ones the one that comes first in the run.

    Raises:
        BulkError: The folder has no manifest, or a file of it cannot be read.
    """
    import_pyarrow()
    from pyarrow import parquet

    plan = manifest.load(output)
    if plan is None:
        raise BulkError(f"{output.url} holds no bulk run: there is no {manifest.FILE}")
    there = output.names()
    means = np.empty(0, np.float32)
    ids: list[str] = []
    for shard in plan.shards:
        if shard.file not in there:
            continue
        try:
            with output.fs.open(output.join(shard.file), "rb") as stream:
                table = parquet.ParquetFile(stream)
                found = table.read(["mean"])["mean"].to_numpy().astype(np.float32)
                # NaN, where there is no score, is above nothing.
                least = means[-1] if len(means) == count else -np.inf
                better = np.flatnonzero(found > least)
                if not len(better):
                    continue
                names = table.read(["id"])["id"].take(better).to_pylist()
        except Exception as error:  # of whichever package the store is reached with
            raise BulkError(f"cannot read {output.join(shard.file)}: {error}") from error
        means = np.concatenate([means, found[better]])
        order = np.argsort(-means, kind="stable")[:count]
        every = [*ids, *names]
        ids = [every[place] for place in order]
        means = means[order]
    return [(float(mean), name) for mean, name in zip(means, ids, strict=True)]
