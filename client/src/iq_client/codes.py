"""Codes of what goes wrong with a single image."""

from __future__ import annotations

from typing import Literal, TypeAlias

# What the server says of an image (the serving contract).
ServerCode: TypeAlias = Literal["EMPTY", "UNREADABLE", "TOO_LARGE", "UNSUPPORTED"]
# What the client finds out about an input, a call or an answer.
ClientCode: TypeAlias = Literal[
    "NOT_READABLE", "BAD_INPUT", "URL_NOT_ALLOWED", "TIMEOUT", "BAD_RESPONSE"
]
# How gRPC says that a request failed; an input that is not there is `NOT_FOUND` as well.
StatusCode: TypeAlias = Literal[
    "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
]  # fmt: skip
ErrorCode: TypeAlias = ServerCode | ClientCode | StatusCode
