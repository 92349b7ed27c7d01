"""Results of the client: frozen values, one per image, in the order they were given."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

from iq_client.codes import ErrorCode

VOTES: Final = range(1, 11)  # the votes a distribution is about, in its order

RankKey: TypeAlias = Literal["mean", "lower_bound"]
SetKind: TypeAlias = Literal["bracket", "stack", "panorama"]
GROUP_COLUMNS: Final = ("group", "kind", "members")
Reason: TypeAlias = Literal["blurry", "noisy", "overexposed", "underexposed", "compressed", "small"]


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
class TowerIdentity:
    """The network that scores are of.

    Attributes:
        name: Name of its architecture, such as `efficientnet_lite0`.
        version: Free text, such as `0.1.0`.
        sha256: Sum of its graph's file, hexadecimal: two towers differ where this does.
        preprocessing_version: Version of the preprocessing that it was trained with.
        licence: Of its weights.
        quantiles: Means at 0, 1, … 100 % of a set of photos, increasing; None where it has none.
        quantiles_of: Name of that set, or None.
    """

    name: str
    version: str
    sha256: str
    preprocessing_version: int
    licence: str
    quantiles: tuple[float, ...] | None = None
    quantiles_of: str | None = None

    @property
    def label(self) -> str:
        """Name and start of the sum, `NAME@SHA256[:12]`: what rows of scores are marked with."""
        return f"{self.name}@{self.sha256[:12]}"

    def percentile(self, mean: float) -> float | None:
        """The share of the set's photos that have a lower mean.

        Args:
            mean: A score's.

        Returns:
            In 0…100, interpolated between the quantiles; None where there are none.
        """
        if self.quantiles is None:
            return None
        below = bisect_right(self.quantiles, mean) - 1
        if below < 0:
            return 0.0
        if below == len(self.quantiles) - 1:
            return 100.0
        low, high = self.quantiles[below : below + 2]
        return (below + (mean - low) / (high - low)) * 100 / (len(self.quantiles) - 1)

    @classmethod
    def parse(cls, text: str) -> TowerIdentity:
        """The identity in a `tower.json`, as servers and Parquet files of scores carry it.

        Raises:
            ValueError: It is none.
        """
        try:
            values = json.loads(text)
            quantiles = values.get("quantiles")
            identity = cls(
                name=str(values["tower"]),
                version=str(values["version"]),
                sha256=str(values["sha256"]),
                preprocessing_version=int(values["preprocessing_version"]),
                licence=str(values["licence"]),
                quantiles=tuple(float(mean) for mean in quantiles) if quantiles else None,
                quantiles_of=str(values["quantiles_of"]) if quantiles else None,
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"no description of a tower ({type(error).__name__}: {error})"
            ) from error
        if identity.quantiles is not None:
            pairs = zip(identity.quantiles, identity.quantiles[1:], strict=False)
            if len(identity.quantiles) < 2 or not all(low < high for low, high in pairs):
                raise ValueError("a description of a tower whose quantiles do not increase")
        return identity

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping with the keys of a `tower.json`, which `parse` reads."""
        values = asdict(self)
        values = {"tower": values.pop("name"), **values}
        return {key: value for key, value in values.items() if value is not None}


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
        percentile: Share, in 0…100, of the photos of a set that have a lower mean; None where
            `error` is set or the server knows no such set (`ServerInfo.tower`).
        tower: The network that the score is of, as `TowerIdentity.label`; None where `error` is
            set or the server does not say.
    """

    source: str
    mean: float
    std: float
    distribution: tuple[float, ...]
    error: ImageError | None = None
    percentile: float | None = None
    tower: str | None = None

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
            "percentile": self.percentile,
            "distribution": list(self.distribution) if self.ok else None,
            "error": {"code": self.error.code, "message": self.error.message}
            if self.error
            else None,
            "tower": self.tower,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Score:
        """The inverse of `to_dict`; older records say neither percentile nor tower."""
        if record["error"] is not None:
            return cls.failed(record["source"], ImageError(**record["error"]))
        return cls(
            record["source"],
            float(record["mean"]),
            float(record["std"]),
            tuple(float(p) for p in record["distribution"]),
            percentile=record.get("percentile"),
            tower=record.get("tower"),
        )


@dataclass(frozen=True, slots=True)
class RankedImage:
    """One row of a ranking.

    Attributes:
        rank: 1 for the best image; None for an image that failed.
        score: The image's score.
        reasons: Faults that may explain a low mark, where they were looked for: see
            `iq_client.reasons`. Empty where there are none, None where nobody looked.
    """

    rank: int | None
    score: Score
    reasons: tuple[Reason, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping: the score's with `rank` in front and `reasons` behind."""
        reasons = None if self.reasons is None else list(self.reasons)
        return {"rank": self.rank, **self.score.to_dict(), "reasons": reasons}


@dataclass(frozen=True, slots=True)
class Group:
    """Near-identical images, such as one burst, or images that are one picture together.

    Attributes:
        images: The members as a ranking of their own, best first.
        key: Order of the members, and of the groups that were made together.
        kind: `bracket` of exposures, `stack` of focus or `panorama`, of which no member can be
            left out; None for images that are alike, and for one alone.
    """

    images: tuple[RankedImage, ...]
    key: RankKey = "mean"
    kind: SetKind | None = None

    @property
    def best(self) -> RankedImage:
        """The member with rank 1, or the first one that failed where none was scored."""
        return self.images[0]

    def kept(self, top: int | None) -> tuple[RankedImage, ...]:
        """The `top` best members, or all: of None, and of a bracket, stack or panorama."""
        return self.images if self.kind is not None else self.images[:top]

    def columns(self, number: int) -> dict[str, Any]:
        """`GROUP_COLUMNS` of a row of this group, which is the `number`-th."""
        return {"group": number, "kind": self.kind, "members": len(self.images)}

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {"kind": self.kind, "images": [image.to_dict() for image in self.images]}


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
        tower: The network behind the model; None where the server does not say.
    """

    url: str
    server_name: str
    server_version: str
    extensions: tuple[str, ...]
    model_name: str
    model_versions: tuple[str, ...]
    model_platform: str
    max_batch_size: int
    tower: TowerIdentity | None = None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return asdict(self)
