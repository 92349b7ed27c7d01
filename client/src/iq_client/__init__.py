"""Scores and ranks photos by quality on a Triton server.

Public are the names exported here, `iq_client.errors`, `iq_client.groups`, `iq_client.gallery`,
`iq_client.reasons` and `iq_client.bulk`.
All other modules are the package's own and may change from one version to the next.
"""

import logging

from iq_client.aio import AsyncClient
from iq_client.client import Client
from iq_client.codes import ErrorCode
from iq_client.errors import (
    AccessDenied,
    BulkError,
    ConnectError,
    ContractError,
    DeadlineExceeded,
    InputError,
    IQClientError,
    LocalServerError,
    NotReadyError,
    RequestFailed,
    ScoringError,
    ServerUnavailable,
    ShardError,
)
from iq_client.images.source import Source
from iq_client.local.server import LocalServer, ServerTLS
from iq_client.results import (
    Group,
    ImageError,
    RankedImage,
    Reason,
    Score,
    ServerInfo,
    TowerIdentity,
)
from iq_client.tables import to_arrow, to_dataframe
from iq_client.wire.call import Call
from iq_client.wire.channel import TLS
from iq_client.wire.retry import RetryPolicy
from iq_client.wire.transport import Transport

# Retries and replicas that are left out: for the application to show, or not.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "TLS",
    "AccessDenied",
    "AsyncClient",
    "BulkError",
    "Call",
    "Client",
    "ConnectError",
    "ContractError",
    "DeadlineExceeded",
    "ErrorCode",
    "Group",
    "IQClientError",
    "ImageError",
    "InputError",
    "LocalServer",
    "LocalServerError",
    "NotReadyError",
    "RankedImage",
    "Reason",
    "RequestFailed",
    "RetryPolicy",
    "Score",
    "ScoringError",
    "ServerInfo",
    "ServerTLS",
    "ServerUnavailable",
    "ShardError",
    "Source",
    "TowerIdentity",
    "Transport",
    "to_arrow",
    "to_dataframe",
]
