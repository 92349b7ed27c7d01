"""The scores of the stand-in: the model gives them, the tests foretell them."""

import zlib

import numpy as np

VOTES = np.arange(1, 11, dtype=np.float64)


def distribution(data):
    """Ten probabilities that depend on nothing but the bytes."""
    weights = np.frombuffer(zlib.crc32(data).to_bytes(4, "big") * 3, np.uint8)[:10] + 1.0
    return weights / weights.sum()


def mean(data):
    """The mean opinion score that belongs to `distribution`."""
    return float(distribution(data) @ VOTES)


def error(data):
    """What the real preprocessing would say, by the first bytes."""
    if not data:
        return b"EMPTY: the file has no bytes"
    if data.startswith(b"corrupt"):
        return b"UNREADABLE: no decoder recognises it"
    return b""
