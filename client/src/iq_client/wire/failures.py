"""gRPC's errors as this package's: what failed, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from iq_client.errors import (
    AccessDenied,
    ContractError,
    IQClientError,
    NotReadyError,
    RequestFailed,
    ServerUnavailable,
)
from iq_client.wire.channel import proxy_of

if TYPE_CHECKING:
    import grpc

_START_HINT: Final = (
    "Start one with `iq-client serve`, or in Python with LocalServer(); if it runs elsewhere give "
    "its gRPC address (port 8001 by default, not HTTP's 8000)."
)


def request_failed(error: grpc.RpcError | grpc.FutureCancelledError) -> RequestFailed:
    """The failure of one try of a request.

    Args:
        error: As gRPC raises it.

    Returns:
        The failure with the code that it really is: gRPC and Triton use some for two things.
    """
    status = getattr(error, "code", lambda: None)()
    if status is None:
        return RequestFailed("CANCELLED", "the request was cancelled")
    code = status.name
    message = error.details() or "no reason given"
    # Triton calls it unavailable when a token is missing; trying again would not help.
    if "This protocol is restricted" in message:
        code = "PERMISSION_DENIED"
    # The process that runs a Python model is gone; other replicas have theirs.
    if "is not healthy" in message:
        code = "UNAVAILABLE"
    # gRPC has one status for "busy" and for "message too large"; the latter never passes as it is.
    too_large = code == "RESOURCE_EXHAUSTED" and "larger than max" in message
    return RequestFailed(code, message, divisible=too_large or code in ("INTERNAL", "UNKNOWN"))


def connect_error(url: str, model: str, failure: RequestFailed) -> IQClientError:
    """The exception for a server that cannot be used, with what to do about it.

    Args:
        url: The server's address.
        model: The model that is wanted.
        failure: The failure of a question to it.
    """
    if failure.code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return AccessDenied(
            f"the server at {url} refuses this client ({failure.message}): give a token "
            f"(headers={{'authorization': 'Bearer …'}}) or a client certificate (tls=TLS(…))."
        )
    if failure.code in ("NOT_FOUND", "FAILED_PRECONDITION") or "is not ready" in failure.message:
        return NotReadyError(
            f"the server at {url} has no model `{model}` ({failure.message}): give it the "
            f"model repository of this project."
        )
    if failure.code == "UNIMPLEMENTED":
        return ContractError(f"the server at {url} is no inference server ({failure.message}).")
    hint = _START_HINT
    if "CERTIFICATE_VERIFY_FAILED" in failure.message:
        hint = "Its certificate is of an unknown authority: give that one's with TLS(ca=…)."
    elif "Hostname Verification" in failure.message:
        hint = "Its certificate has another name: give that one with TLS(server_name=…)."
    elif "WRONG_VERSION_NUMBER" in failure.message:
        hint = "It speaks no TLS: leave `tls` out."
    elif "Failed parsing HTTP/2" in failure.message:
        hint = "It speaks HTTP/1: give the port of gRPC (8001 by default), not HTTP's (8000)."
    elif (proxy := proxy_of(url)) is not None:
        hint = (
            f"It is asked through the proxy {proxy}: is that one up, and does it let gRPC through? "
            f"Hosts in no_proxy are asked without it."
        )
    elif "Socket closed" in failure.message:
        hint = "It closes the connection: does it want TLS, or a client certificate (mTLS)?"
    return ServerUnavailable(f"no server answers at {url} ({failure.message}). {hint}")
