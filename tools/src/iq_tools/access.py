"""Doors of the container's Triton that are shut unless someone opens them.

Triton has no accounts. Whoever reaches its ports may register shared memory, load models and change
logs and traces, unless these protocols ask for a key (Triton's guide to inference protocols, "Limit
Endpoint Access"). Scoring, health, metadata and configurations, which clients need, stay open.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Final

from iq_tools.errors import InputError

KEY_VARIABLE: Final = "IQ_ADMIN_KEY"
# As a gRPC header with Triton's prefix: `triton-grpc-protocol-admin-key`.
KEY_HEADER: Final = "admin-key"
RESTRICTED: Final = ("shared-memory", "model-repository", "statistics", "trace", "logging")

_KEY: Final = re.compile(r"[\w.~-]{16,}", re.ASCII)  # Triton splits its argument at : and =
_RANDOM_BYTES: Final = 24


def access_arguments(given: Sequence[str], key: str | None = None) -> list[str]:
    """Arguments of tritonserver that shut what nobody asked to be open.

    HTTP listens inside the container only, for `iq_tools.health`: it is the door with the longest
    record of holes, and no client of ours needs it. An option that is given is left as it is.

    Args:
        given: Arguments that tritonserver gets anyway.
        key: Opens the restricted protocols; None for a random one that nobody knows.

    Returns:
        Further arguments.

    Raises:
        InputError: The key is short, or has characters that Triton's option cannot hold.
    """
    if key is None:
        key = secrets.token_urlsafe(_RANDOM_BYTES)
    elif not _KEY.fullmatch(key):
        raise InputError(f"{KEY_VARIABLE} needs 16 or more of: letters, digits, _ . ~ -")
    restriction = f"{','.join(RESTRICTED)}:{KEY_HEADER}={key}"
    defaults = {
        "--grpc-restricted-protocol": restriction,
        "--http-restricted-api": restriction,
        "--http-address": "127.0.0.1",
    }
    named = {argument.partition("=")[0] for argument in given}
    return [f"{name}={value}" for name, value in defaults.items() if name not in named]
