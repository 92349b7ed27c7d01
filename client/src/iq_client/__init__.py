"""Scores and ranks photos by quality on a Triton server."""

from iq_client.aio import AsyncClient
from iq_client.client import Client
from iq_client.errors import (
    AccessDenied,
    ConnectError,
    ContractError,
    DeadlineExceeded,
    InputError,
    IQClientError,
    LocalServerError,
    NotReadyError,
    ScoringError,
    ServerUnavailable,
)
from iq_client.local import LocalServer, ServerTLS
from iq_client.results import Group, ImageError, RankedImage, Score, ServerInfo
from iq_client.retry import RetryPolicy
from iq_client.tables import to_arrow, to_dataframe
from iq_client.transport import TLS

__all__ = [
    "TLS",
    "AccessDenied",
    "AsyncClient",
    "Client",
    "ConnectError",
    "ContractError",
    "DeadlineExceeded",
    "Group",
    "IQClientError",
    "ImageError",
    "InputError",
    "LocalServer",
    "LocalServerError",
    "NotReadyError",
    "RankedImage",
    "RetryPolicy",
    "Score",
    "ScoringError",
    "ServerInfo",
    "ServerTLS",
    "ServerUnavailable",
    "to_arrow",
    "to_dataframe",
]
