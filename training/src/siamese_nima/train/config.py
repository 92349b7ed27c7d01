"""A run of the trainer, described: its sets, its losses, its phases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from siamese_nima.config import PhaseConfig
from siamese_nima.data.samples import DataConfig
from siamese_nima.errors import ConfigError
from siamese_nima.towers.registry import Tower, get_tower
from siamese_nima.train.objective import LossWeights
from siamese_nima.train.pairs import PAIRINGS
from siamese_nima.train.precision import PRECISIONS
from siamese_nima.train.replicas import STRATEGIES

PHASES: Final = ("head", "body")
RANDOM: Final = "random"  # the value of `weights` that asks for an untrained start


@dataclass(frozen=True, slots=True)
class SetConfig:
    """One of the sets that a run learns from.

    Attributes:
        name: Names the set in logs and in `--set sets.NAME.KEY=VALUE`.
        data: The labelled photos.
        loss: Losses on them.
        batch_size: Photos of this set in every step; even, so that pairs stay together.
        pairing: A key of `pairs.PAIRINGS`.
        bucket_width: Scores are cut into buckets of this width.
        rungs: Photos drawn from each group an epoch, such as rungs of a ladder; 0 for all.
        held_out: Labelled photos to judge by; without them, a share of `data` is held out.
        held_out_share: That share, by content hash; 0 to learn from all of it and judge by the
            other sets.
    """

    name: str
    data: DataConfig
    loss: LossWeights
    batch_size: int = 32
    pairing: str = "all"
    bucket_width: float = 1.0
    rungs: int = 0
    held_out: DataConfig | None = None
    held_out_share: float = 0.15


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """A run of the trainer.

    Attributes:
        tower: Name in the registry.
        weights: Weight file to start from, or `random`.
        output: Folder of the run: config, log, checkpoints.
        sets: What to learn from. A step takes photos of each; an epoch is one pass over the first.
        head: First phase: the head alone learns.
        body: Second phase: everything above `freeze_through` learns.
        headless: Whether `weights` holds a backbone without the head of NIMA.
        freeze_through: The last frozen layer of the second phase or the number of frozen layers
            (`618`), empty for the tower's default, `0` for none.
        dropout: Share of the pooled features dropped in training, -1 for the tower's own.
        centre: Whether the head's bias is tilted before the first step, so that predicted means are
            those of the labels; for votes that lie elsewhere than those of the weights' own.
        accumulate: Steps whose gradients are averaged into one update.
        average: Momentum of the average of weights over the steps that is judged and written in
            place of the last step's weights (Polyak & Juditsky 1992), 0 for none.
        mirror: Whether half of the photos are mirrored, drawn anew each epoch.
        crop: Largest share of height and of width that is cut off a photo, drawn anew each epoch.
        rescale: Largest share by which the sides of a photo are scaled down, before it is scaled up
            again, drawn anew each epoch for half of the photos: a smaller copy is as good.
        interpolation: How photos are resized; one of `contract.INTERPOLATIONS`.
        image_size: Side of the pixels, 0 for the tower's own.
        patience: Epochs of a phase without a better held-out accuracy before it ends.
        save_minutes: Minutes between two states written within an epoch.
        workers: Decoders at work at once, 0 for one a core.
        pixel_cache_mib: Memory for decoded photos; what fits is decoded once.
        seed: Seed of initial weights, dropout, pairs, mirroring, crops and scales.
        cache_features: Whether the frozen part's output is computed once and kept on disk.
        features: Folder of what is kept, for several runs to share; `features` in `output` if none.
        precision: A key of `precision.PRECISIONS`.
        strategy: A key of `replicas.STRATEGIES`.
        tensorboard: Whether events are written for TensorBoard, into `tensorboard` in `output`.
    """

    tower: str
    weights: str
    output: Path
    sets: tuple[SetConfig, ...]
    head: PhaseConfig
    body: PhaseConfig
    headless: bool = False
    freeze_through: str = ""
    dropout: float = -1.0
    centre: bool = False
    accumulate: int = 1
    average: float = 0.0
    mirror: bool = False
    crop: float = 0.0
    rescale: float = 0.0
    interpolation: str = "bilinear"
    image_size: int = 0
    patience: int = 5
    save_minutes: float = 5.0
    workers: int = 0
    pixel_cache_mib: int = 1024
    seed: int = 0
    cache_features: bool = False
    features: Path | None = None
    precision: str = "float32"
    strategy: str = "none"
    tensorboard: bool = False

    @property
    def batch_size(self) -> int:
        """Photos a step, of all sets."""
        return sum(each.batch_size for each in self.sets)


def checked(config: TrainConfig) -> Tower:
    """Finds the tower of a run whose config is sound.

    Raises:
        ConfigError: The config is at odds with itself, or no tower has that name.
    """
    names = [each.name for each in config.sets]
    if not names or len(set(names)) < len(names) or not all(names):
        raise ConfigError(f"sets need a name each, and at least one set: {names}")
    for each in config.sets:
        _check_set(each)
    if not any(each.held_out or each.held_out_share for each in config.sets):
        raise ConfigError("nothing is held out to judge by: held_out_share is 0 in every set")
    if not (config.dropout == -1 or 0 <= config.dropout < 1):
        raise ConfigError("dropout must be in 0…1, 1 excluded, or -1 for the tower's own")
    if config.centre and not any(each.loss.votes() for each in config.sets):
        raise ConfigError("centre needs a set that learns votes, by emd or squared_emd")
    if config.accumulate < 1:
        raise ConfigError("accumulate must be at least 1")
    if not 0 <= config.average < 1:
        raise ConfigError("average must be in 0…1, 1 excluded")
    for name in ("crop", "rescale"):
        if not 0 <= getattr(config, name) < 1:
            raise ConfigError(f"{name} must be in 0…1, 1 excluded")
    if config.head.epochs + config.body.epochs < 1:
        raise ConfigError("head.epochs and body.epochs are both 0")
    if config.precision not in PRECISIONS:
        raise ConfigError(f"precision is {config.precision!r}, not one of {', '.join(PRECISIONS)}")
    if config.strategy not in STRATEGIES:
        raise ConfigError(f"strategy is {config.strategy!r}, not one of {', '.join(STRATEGIES)}")
    if config.strategy != "none" and (config.accumulate > 1 or config.average):
        # Keras decides inside the graph whether a step updates; there no replicas can meet.
        raise ConfigError("accumulate and average work with strategy none only")
    if config.cache_features and (config.mirror or config.crop or config.rescale):
        raise ConfigError(
            "cache_features excludes mirror, crop and rescale: a photo so changed is another"
        )
    return get_tower(config.tower)


def _check_set(config: SetConfig) -> None:
    if config.pairing not in PAIRINGS:
        raise ConfigError(f"pairing is {config.pairing!r}, not one of {', '.join(PAIRINGS)}")
    if not config.loss.any():
        raise ConfigError(
            f"every weight in the loss of {config.name} is 0: nothing is to be learnt"
        )
    if config.batch_size < 2 or config.batch_size % 2:
        raise ConfigError(f"batch_size of {config.name} must be even and above 0")
    if config.rungs < 0 or config.rungs == 1:
        raise ConfigError(f"rungs of {config.name} must be 0, for all, or at least 2")
    if config.rungs and config.pairing == "bucketed":
        raise ConfigError(f"rungs of {config.name} need pairing all")


def check_share(config: TrainConfig, replicas: int) -> None:
    """Refuses batches that the replicas of a run cannot share.

    Raises:
        ConfigError: See the message.
    """
    if config.batch_size % (2 * replicas):
        raise ConfigError(
            f"batch_size is {config.batch_size}, of all sets; {replicas} replicas need a multiple "
            f"of {2 * replicas}, so that pairs stay together"
        )
