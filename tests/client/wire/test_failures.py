"""gRPC's errors as the client's own."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import grpc
import pytest

from iq_client import AccessDenied, Client, LocalServer, RetryPolicy
from iq_client.codes import StatusCode
from iq_client.wire.failures import request_failed

ONCE = RetryPolicy(attempts=1)


class Refusal(grpc.RpcError):  # type: ignore[misc]
    """An error as gRPC raises it."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


def test_every_status_is_an_error_code() -> None:
    names = {status.name for status in grpc.StatusCode}
    assert set(get_args(StatusCode)) == names - {"OK"}


@pytest.mark.parametrize(
    ("status", "details", "code", "divisible"),
    [
        ("UNAVAILABLE", "This protocol is restricted", "PERMISSION_DENIED", False),
        ("INTERNAL", "Stub process is not healthy.", "UNAVAILABLE", False),
        ("RESOURCE_EXHAUSTED", "too busy", "RESOURCE_EXHAUSTED", False),
        ("RESOURCE_EXHAUSTED", "Received message larger than max", "RESOURCE_EXHAUSTED", True),
        ("INTERNAL", "the model crashed", "INTERNAL", True),
    ],
)
def test_a_status_of_two_meanings(status: str, details: str, code: str, divisible: bool) -> None:
    failure = request_failed(Refusal(grpc.StatusCode[status], details))
    assert (failure.code, failure.message, failure.divisible) == (code, details, divisible)


def test_a_request_that_was_cancelled() -> None:
    assert request_failed(grpc.FutureCancelledError()).code == "CANCELLED"


@pytest.mark.slow  # starts a server of its own
@pytest.mark.parametrize("protected", ["health,metadata,model-config,inference", "inference"])
def test_a_token(stub_repository: Path, protected: str) -> None:
    # Triton looks for the header with this prefix.
    with LocalServer(
        stub_repository,
        extra_arguments=(f"--grpc-restricted-protocol={protected}:token=secret",),
        startup_timeout=300,
    ) as server:
        with Client(server.url, headers={"Triton-GRPC-Protocol-Token": "secret"}) as client:
            assert client.score_images(b"x")[0].ok
        for headers in ({}, {"triton-grpc-protocol-token": "guess"}):
            with Client(server.url, headers=headers, retry=ONCE) as client:
                if protected == "inference":
                    (score,) = client.score_images(b"x")
                    assert score.error is not None and score.error.code == "PERMISSION_DENIED"
                else:
                    with pytest.raises(AccessDenied, match="token"):
                        client.score_images(b"x")
