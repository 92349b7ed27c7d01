"""The three stages of a run: prepare the views, distil a teacher, tune on pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from iq_serving.preprocessing import load_pixels
from siamese_nima.config import PhaseConfig, RunConfig, to_toml
from siamese_nima.data.distortions import DISTORTIONS, LEVELS
from siamese_nima.data.photos import find_photos, split_by_content
from siamese_nima.evaluation import Report, report
from siamese_nima.features import (
    FeatureSet,
    Model,
    compute_features,
    concatenate,
)
from siamese_nima.frozen import compile_frozen
from siamese_nima.hints import hint_loss, hinted, hinting
from siamese_nima.progress import Progress
from siamese_nima.towers.freezing import freeze
from siamese_nima.towers.parts import tower_part
from siamese_nima.towers.registry import build_tower, get_tower
from siamese_nima.towers.weight_files import WeightFile, write_record
from siamese_nima.towers.weights import load_weights, save_weights
from siamese_nima.train import losses
from siamese_nima.train.schedule import adamw
from siamese_nima.views import UNDISTORTED, evaluation_views, training_views

# Antialiased: what the server does unless a tower says otherwise.
STUDENT_INTERPOLATION: Final = "bilinear"

# How many photos the principal directions of the teacher's features are found with.
_PHOTOS_FOR_HINTS: Final = 256

# The target rows that Keras hands to the loss: a distribution, then these.
_KEEP, _GROUP, _SEVERITY = -3, -2, -1


def build_student(config: RunConfig) -> keras.Model:
    """The student with its pretrained backbone and a new head."""
    keras.utils.set_random_seed(config.seed)
    # Nothing is dropped: the teacher's answers have no noise that could be learnt by heart.
    student = build_tower(get_tower(config.tower), dropout=0.0)
    load_weights(student, config.backbone_weights, headless=True)
    return student


def freeze_layer(config: RunConfig) -> str:
    """The layer through which the student is frozen."""
    return config.freeze_through or get_tower(config.tower).freeze_through


def prepare(config: RunConfig, progress: Progress) -> None:
    """Computes the features of the training and the held-out views.

    Args:
        config: The run. Writes `features/train`, `features/held_out` and the config itself.
        progress: Wraps the views to show how far it is, given their number and a title.
    """
    config.output.mkdir(parents=True, exist_ok=True)
    (config.output / "config.toml").write_text(to_toml(config))
    training, held_out = split_by_content(
        find_photos(config.photos),
        config.held_out_share,
        never_held_out=find_photos(config.more_photos),
    )
    (config.output / "held_out.txt").write_text("".join(f"{path}\n" for path in held_out))
    trunk = Model(
        get_tower(config.tower),
        compile_frozen(tower_part(build_student(config), through=freeze_layer(config))),
        STUDENT_INTERPOLATION,
    )
    teacher = load_teacher(config, training)
    kinds = list(DISTORTIONS)
    for name, views, count in (
        (
            "held_out",
            evaluation_views(held_out, seed=config.seed),
            len(held_out) * (1 + len(kinds) * len(LEVELS)),
        ),
        (
            "train",
            training_views(training, crops=config.crops, rungs=config.rungs, seed=config.seed),
            len(training) * (1 + config.crops + len(kinds) * config.rungs),
        ),
    ):
        shown = progress(views, count, f"{name} views")
        concatenate(compute_features(shown, trunk, teacher, kinds)).save(
            config.output / "features" / name
        )


def load_teacher(config: RunConfig, photos: Sequence[Path]) -> Model:
    """The teacher, which gives hints along the directions that it finds in some of the photos."""
    tower = get_tower(config.teacher)
    model = build_tower(tower)
    load_weights(model, config.teacher_weights)
    spread = photos[:: max(1, len(photos) // _PHOTOS_FOR_HINTS)]
    pixels = np.stack(
        [
            load_pixels(
                photo.read_bytes(),
                image_size=tower.image_size,
                interpolation=config.teacher_interpolation,
            )
            for photo in spread
        ]
    )
    answering = hinting(model, tower.normalise(pixels.astype(np.float32)))
    return Model(tower, compile_frozen(answering), config.teacher_interpolation)


def distil(config: RunConfig) -> Report:
    """Teaches everything above the frozen layers the teacher's distributions and hints.

    Returns:
        How it does on the held-out photos. Writes `distilled.weights.h5`.
    """
    student = build_student(config)
    train, held_out = _feature_sets(config)
    rest = _learning_part(student, config)
    found = _fit(
        hinted(student, freeze_layer(config)),
        config.distil,
        _Views(train, config),
        [_emd_loss, hint_loss],
        config,
        "distil",
        lambda: report(_predict(rest, held_out.features), held_out),
        loss_weights=[1.0, config.hint_weight],
    )
    _save(student, config, "distilled")
    return found


def tune(config: RunConfig) -> Report:
    """Tunes the distilled student on signed pairs, keeping to the teacher.

    Returns:
        How it does on the held-out photos. Writes `tuned.weights.h5`.
    """
    student = build_student(config)
    load_weights(student, config.output / "distilled.weights.h5")
    train, held_out = _feature_sets(config)
    rest = _learning_part(student, config)
    found = _fit(
        rest,
        config.tune,
        _Ladders(train, config),
        _ladder_loss(config),
        config,
        "tune",
        lambda: report(_predict(rest, held_out.features), held_out),
    )
    _save(student, config, "tuned")
    return found


def _save(student: keras.Model, config: RunConfig, stage: str) -> None:
    path = config.output / f"{stage}.weights.h5"
    save_weights(student, path)
    write_record(WeightFile(path, config.tower, STUDENT_INTERPOLATION))


def _feature_sets(config: RunConfig) -> tuple[FeatureSet, FeatureSet]:
    folder = config.output / "features"
    return FeatureSet.load(folder / "train"), FeatureSet.load(folder / "held_out")


def _predict(model: keras.Model, features: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.asarray(model.predict(features, batch_size=256, verbose=0))


def _learning_part(student: keras.Model, config: RunConfig) -> keras.Model:
    """What lies above the frozen layers, its batch normalisation kept in inference mode."""
    rest = tower_part(student, after=freeze_layer(config))
    freeze(rest, 0)
    return rest


def _fit(
    model: keras.Model,
    stage: PhaseConfig,
    batches: keras.utils.PyDataset,
    loss: Any,
    config: RunConfig,
    name: str,
    evaluate: Callable[[], Report],
    loss_weights: list[float] | None = None,
) -> Report:
    """Runs one stage; its log is `NAME.csv`. Returns how the tower does at its end."""
    held_out = _HeldOut(evaluate)
    model.compile(adamw(stage, stage.epochs * len(batches)), loss=loss, loss_weights=loss_weights)
    model.fit(
        batches,
        epochs=stage.epochs,
        verbose=2,
        callbacks=[
            keras.callbacks.TerminateOnNaN(),
            held_out,
            keras.callbacks.CSVLogger(str(config.output / f"{name}.csv")),
        ],
    )
    return held_out.latest or evaluate()  # a stage of no epochs has judged nothing


class _HeldOut(keras.callbacks.Callback):  # type: ignore[misc]
    """Adds to the log of every epoch how the tower does on the held-out photos."""

    def __init__(self, evaluate: Callable[[], Report]) -> None:
        super().__init__()
        self._evaluate = evaluate
        self.latest: Report | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.latest = found = self._evaluate()
        shown = {
            # Keras calls so what is not of the training set.
            "val_spearman": found.teacher_spearman,
            "val_emd": found.teacher_emd,
            "val_order": sum(found.order.values()) / len(found.order),
        }
        if logs is not None:
            logs |= shown
        print("  ".join(f"{key} {value:.4f}" for key, value in shown.items()), flush=True)


class _Views(keras.utils.PyDataset):  # type: ignore[misc]
    """Every view with its teacher's distribution and hints, in a new order each epoch."""

    def __init__(self, views: FeatureSet, config: RunConfig) -> None:
        super().__init__()
        self._views = views
        self._batch = config.batch_size
        self._rng = np.random.default_rng(config.seed)
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self._views.teacher) // self._batch

    def __getitem__(self, index: int) -> tuple[npt.NDArray[Any], tuple[npt.NDArray[Any], ...]]:
        rows = self._order[index * self._batch : (index + 1) * self._batch]
        return self._views.features[rows].astype(np.float32), (
            self._views.teacher[rows],
            self._views.hints[rows].astype(np.float32),
        )

    def on_epoch_end(self) -> None:
        self._order = self._rng.permutation(len(self._views.teacher))


class _Ladders(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of whole ladders, one half, and undistorted views, the other.

    A ladder is a photo and its distortions of one kind. Targets are rows of the teacher's
    distribution, how much to keep to it, the ladder's number and the severity.
    """

    def __init__(self, views: FeatureSet, config: RunConfig) -> None:
        super().__init__()
        self._views = views
        self._rng = np.random.default_rng(config.seed)
        self._ladders = np.array(list(_ladder_rows(views)))
        self._undistorted = np.flatnonzero(views.kind < 0)
        rungs = self._ladders.shape[1]
        self._ladders_a_batch = max(1, round(0.5 * config.batch_size / rungs))
        self._distorted_weight = config.distorted_weight
        self._views_a_batch = config.batch_size - self._ladders_a_batch * rungs
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self._ladders) // self._ladders_a_batch

    def __getitem__(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        first = index * self._ladders_a_batch
        ladders = self._ladders[self._order[first : first + self._ladders_a_batch]]
        views = self._rng.choice(self._undistorted, self._views_a_batch, replace=False)
        rows = np.concatenate([ladders.ravel(), views])
        group = np.full(len(rows), -1.0, np.float32)
        group[: ladders.size] = np.repeat(np.arange(len(ladders)), ladders.shape[1])
        targets = np.column_stack(
            [
                self._views.teacher[rows],
                np.where(self._views.kind[rows] < 0, 1.0, self._distorted_weight),
                group,
                self._views.severity[rows],
            ]
        )
        return self._views.features[rows].astype(np.float32), targets.astype(np.float32)

    def on_epoch_end(self) -> None:
        self._order = self._rng.permutation(len(self._ladders))


def _ladder_rows(views: FeatureSet) -> Iterator[list[int]]:
    """The rows of each ladder: the whole undistorted photo, then its rungs."""
    whole = {
        int(views.photo[row]): int(row)
        for row in np.flatnonzero(views.whole & (views.severity == UNDISTORTED))
    }
    rungs: dict[tuple[int, int], list[int]] = {}
    for row in np.flatnonzero(views.kind >= 0):
        rungs.setdefault((int(views.photo[row]), int(views.kind[row])), []).append(int(row))
    for (photo, _), rows in rungs.items():
        yield [whole[photo], *rows]


def _emd_loss(target: Any, predicted: Any) -> Any:
    return losses.earth_movers_distance(target, predicted)


def _ladder_loss(config: RunConfig) -> Callable[[Any, Any], Any]:
    """EMD to the teacher, less of it on distorted views, plus ranking inside the ladders."""

    def loss(target: Any, predicted: Any) -> Any:
        keep = target[:, _KEEP]
        distances = losses.earth_movers_distance(target[:, :_KEEP], predicted)
        kept = ops.sum(distances * keep) / ops.maximum(ops.sum(keep), 1.0)
        means = losses.mean_score(predicted)
        ranking = losses.ladder_ranking(means, target[:, _GROUP], target[:, _SEVERITY])
        return kept + config.ranking_weight * ranking

    return loss
