"""The scores of the stand-in: the model gives them, the tests foretell them."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

VOTES = np.arange(1, 11, dtype=np.float64)


def distribution(data: bytes) -> np.ndarray[Any, Any]:
    """Ten probabilities that depend on nothing but the bytes."""
    weights = np.frombuffer(zlib.crc32(data).to_bytes(4, "big") * 3, np.uint8)[:10] + 1.0
    probabilities: np.ndarray[Any, Any] = weights / weights.sum()
    return probabilities


def mean(data: bytes) -> float:
    """The mean opinion score that belongs to `distribution`."""
    return float(distribution(data) @ VOTES)


def error(data: bytes) -> bytes:
    """The word of a preprocessing on an image, by its first bytes."""
    if not data:
        return b"EMPTY: the file has no bytes"
    if data.startswith(b"corrupt"):
        return b"UNREADABLE: no decoder recognises it"
    return b""
