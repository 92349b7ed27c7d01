"""The exceptions of this package.

    IQClientError
    ├── ConnectError
    │   ├── ServerUnavailable   nobody answers at the address
    │   ├── NotReadyError       a server answers, the model is not loaded (yet)
    │   └── AccessDenied        the server wants another token or certificate
    ├── ContractError           the server's model is not the one this client was written for
    ├── DeadlineExceeded        a call that is not about single images ran out of time
    ├── ScoringError            an image failed, where the caller asked for an exception
    ├── InputError              an input is not an image or a collection of images
    ├── RequestFailed           a transport got no scores for a batch; callers see its code
    ├── BulkError               a bulk run cannot begin, or cannot go on
    ├── ShardError              one shard of a bulk run cannot be scored now
    └── LocalServerError        the embedded server cannot be found or does not start

An image that cannot be scored is not in this tree: it is a `Score` whose `error` says why, so that
it never costs its neighbours their scores. `raise_on_error=True` turns the first one into a
`ScoringError`.
"""

from __future__ import annotations

from typing import ClassVar

from iq_client.codes import ErrorCode
from iq_client.results import Score


class IQClientError(Exception):
    """The root: everything that this package raises on purpose.

    Attributes:
        exit_code: Status with which the command line ends on it.
    """

    exit_code: ClassVar[int] = 3


class ConnectError(IQClientError):
    """No scores can be had from this server now."""


class ServerUnavailable(ConnectError):  # noqa: N818  the name people know from gRPC's status
    """Nobody answers at the address."""


class NotReadyError(ConnectError):
    """A server answers, but the model is missing or still being loaded."""


class AccessDenied(ConnectError):  # noqa: N818  as above
    """The server refuses this client: a token or a certificate is missing or wrong."""


class ContractError(IQClientError):
    """The server's model has other tensors than this client was written for."""


class DeadlineExceeded(IQClientError):  # noqa: N818  as above
    """A call ran out of the time that it was given."""


class ScoringError(IQClientError):
    """An image could not be scored and the caller asked for an exception.

    Attributes:
        score: The score that failed, with its source and error.
    """

    exit_code = 1

    def __init__(self, score: Score) -> None:
        super().__init__(f"{score.source}: {score.error}")
        self.score = score


class InputError(IQClientError):
    """An input that is not an image, nor a collection of images.

    Attributes:
        code: The `error.code` of a `Score` of this input.
        message: One sentence for people.
    """

    exit_code = 1

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class RequestFailed(IQClientError):  # noqa: N818  one request's end, not an error of the caller
    """A request that brought no scores, after all its tries.

    A transport raises it; callers see its code and message as the `error` of the scores concerned.

    Attributes:
        code: The gRPC status' name, such as `UNAVAILABLE`; `TIMEOUT` and `CANCELLED` where the
            caller's deadline or cancellation ended it; `BAD_RESPONSE` where the answer does not
            keep the contract.
        message: Explanation of the server or of gRPC.
        divisible: Whether a part of the batch may succeed by itself.
    """

    def __init__(self, code: ErrorCode, message: str, *, divisible: bool = False) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.divisible = divisible


class BulkError(IQClientError):
    """A bulk run that cannot begin or go on: its input, its output, or another tower's scores."""


class ShardError(IQClientError):
    """A shard of a bulk run that cannot be scored now; the others can."""


class LocalServerError(IQClientError):
    """The embedded server cannot be found or does not start."""
