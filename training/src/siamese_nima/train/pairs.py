"""Pairs: the photos that meet in a batch, and those that are compared there."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from keras import ops

PAIRINGS: Final = {
    "bucketed": "each photo meets one of its own bucket and one of another; those are compared",
    "all": "each photo comes once an epoch, and all photos of a batch are compared",
}

Indices = npt.NDArray[np.int64]

# A row that stands for no photo: it fills a batch up and counts in no loss.
FILLER: Final = -1


def buckets(scores: npt.NDArray[np.float64], width: npt.NDArray[np.float64] | float) -> Indices:
    """Buckets of scores, as the original Siamese NIMA cuts AVA's means.

    Args:
        scores: Labels or means [N].
        width: Width of a bucket, or of each one's [N].

    Returns:
        Numbers of the buckets [N]; they may be negative.
    """
    return np.asarray(np.floor(scores / width), np.int64)


def draw_bucketed(bucket: Indices, group: Indices, rng: np.random.Generator) -> Indices:
    """Draws pairs: for every photo one of its own bucket and one of another.

    A photo that is alone in its bucket has no partner of the first kind, and one in a group of a
    single bucket none of the second. The other bucket is drawn first, each as likely as the next,
    then the photo in it, so that rare scores meet as often as common ones.

    Args:
        bucket: Bucket of each photo [N].
        group: Photos of different groups never meet [N].
        rng: Source of the partners and of the order.

    Returns:
        Indices of photos [2P]; those at 2i and 2i + 1 are a pair.
    """
    members: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, (its_group, its_bucket) in enumerate(zip(group, bucket, strict=True)):
        members[int(its_group)][int(its_bucket)].append(index)
    pairs: list[tuple[int, int]] = []
    for in_group in members.values():
        names = list(in_group)
        for position, name in enumerate(names):
            own = in_group[name]
            for place, index in enumerate(own):
                if len(own) > 1:
                    other = int(rng.integers(len(own) - 1))
                    pairs.append((index, own[other + (other >= place)]))
                if len(names) > 1:
                    other = int(rng.integers(len(names) - 1))
                    theirs = in_group[names[other + (other >= position)]]
                    pairs.append((index, theirs[int(rng.integers(len(theirs)))]))
    drawn = np.array(pairs, np.int64).reshape(-1, 2)
    rng.shuffle(drawn)
    # Which of the two comes first says nothing.
    return rng.permuted(drawn, axis=1).ravel()


def draw_all(group: Indices, rng: np.random.Generator, *, most: int = 0) -> Indices:
    """Draws an order in which every photo comes once, those of a group together.

    Args:
        group: Group of each photo, numbers from 0 [N].
        rng: Source of the order.
        most: Photos of a group that are drawn, 0 for all.

    Returns:
        Indices of photos [N], or of up to `most` of each group.
    """
    order = rng.permutation(len(group))
    places = rng.permutation(int(group.max()) + 1)
    order = order[np.argsort(places[group[order]], kind="stable")]
    if not most:
        return order
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    return order[rank < most]


def compared(group: Any, pairing: str) -> Any:
    """Mask of the pairs of a batch that are compared.

    Args:
        group: Groups of the photos, int [B].
        pairing: A key of `PAIRINGS`; the batch was drawn for it.

    Returns:
        Mask of the pairs (row, column), float32 [B,B]; each pair once, row before column.
    """
    place = ops.arange(ops.shape(group)[0])
    row, column = place[:, None], place[None, :]
    mask = ops.logical_and(row < column, ops.equal(group[:, None], group[None, :]))
    if pairing == "bucketed":
        mask = ops.logical_and(mask, ops.equal(row // 2, column // 2))
    return ops.cast(mask, "float32")
