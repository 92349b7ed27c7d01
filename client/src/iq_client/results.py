"""Results of the client: frozen values, one per image, in the order they were given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

from iq_client.codes import ErrorCode

VOTES: Final = range(1, 11)  # the votes a distribution is about, in its order

RankKey: TypeAlias = Literal["mean", "lower_bound"]


@dataclass(frozen=True, slots=True)
class ImageError:
    """Why one image has no score.

    Attributes:
        code: `EMPTY`, `UNREADABLE`, `TOO_LARGE` or `UNSUPPORTED` from the server; `NOT_FOUND`,
            `NOT_READABLE` or `TIMEOUT` and the like from the client; the name of gRPC's status
            where the request failed.
        message: One sentence for people.
    """

    code: ErrorCode
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


@dataclass(frozen=True, slots=True)
class Score:
    """The quality of one image.

    Attributes:
        source: Name of the image: the path as text, the URL, or `image[3]` for the fourth object
            that has no name of its own.
        mean: Mean opinion score in 1…10, NaN where `error` is set.
        std: Standard deviation of the votes, NaN where `error` is set.
        distribution: Ten probabilities of the votes 1…10; empty where `error` is set.
        error: Why there is no score, or None.
    """

    source: str
    mean: float
    std: float
    distribution: tuple[float, ...]
    error: ImageError | None = None

    @property
    def ok(self) -> bool:
        """True where the image was scored."""
        return self.error is None

    @property
    def lower_bound(self) -> float:
        """Mean minus one standard deviation: about five of six voters would give as much."""
        return self.mean - self.std

    @classmethod
    def failed(cls, source: str, error: ImageError) -> Score:
        """The score of an image that could not be scored."""
        return cls(source, math.nan, math.nan, (), error)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping; a score that failed has None for its numbers."""
        return {
            "source": self.source,
            "mean": self.mean if self.ok else None,
            "std": self.std if self.ok else None,
            "distribution": list(self.distribution) if self.ok else None,
            "error": {"code": self.error.code, "message": self.error.message}
            if self.error
            else None,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Score:
        """The inverse of `to_dict`."""
        if record["error"] is not None:
            return cls.failed(record["source"], ImageError(**record["error"]))
        return cls(
            record["source"],
            float(record["mean"]),
            float(record["std"]),
            tuple(float(p) for p in record["distribution"]),
        )


@dataclass(frozen=True, slots=True)
class RankedImage:
    """One row of a ranking.

    Attributes:
        rank: 1 for the best image; None for an image that failed.
        score: The image's score.
    """

    rank: int | None
    score: Score

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping: the score's with `rank` in front."""
        return {"rank": self.rank, **self.score.to_dict()}


@dataclass(frozen=True, slots=True)
class Group:
    """Near-identical images, such as one burst, best first.

    Attributes:
        images: The members as a ranking of their own.
        key: Order of the members, and of the groups that were made together.
    """

    images: tuple[RankedImage, ...]
    key: RankKey = "mean"

    @property
    def best(self) -> RankedImage:
        """The member with rank 1, or the first one that failed where none was scored."""
        return self.images[0]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {"images": [image.to_dict() for image in self.images]}


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Description of a server by itself.

    Attributes:
        url: The address that answered.
        server_name: The server's product name, such as `triton`.
        server_version: Its version.
        extensions: Protocol extensions that it offers.
        model_name: The model that scores are asked of.
        model_versions: Its versions that are ready.
        model_platform: Kind of model, such as `ensemble`.
        max_batch_size: Images of one request at most.
    """

    url: str
    server_name: str
    server_version: str
    extensions: tuple[str, ...]
    model_name: str
    model_versions: tuple[str, ...]
    model_platform: str
    max_batch_size: int

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return asdict(self)
