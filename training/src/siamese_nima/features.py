"""Views computed once: the frozen trunk's features and the teacher's answers, kept on disk.

A tower that is frozen through a layer computes the same numbers below it in every epoch; and the
teacher never changes. Both are computed for every view once, so that an epoch is only the part of
the tower that learns.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from iq_serving.preprocessing import to_pixels
from siamese_nima.frozen import Runner
from siamese_nima.towers.registry import Tower
from siamese_nima.views import View

BATCH = 64


@dataclass(frozen=True, slots=True)
class Model:
    """A model with what its pixels must look like.

    Attributes:
        tower: Normalisation and size.
        run: From normalised pixels to whatever it computes.
        interpolation: How its pixels are resized.
    """

    tower: Tower
    run: Runner
    interpolation: str

    def __call__(self, views: Iterable[View]) -> list[npt.NDArray[Any]]:
        """Runs the model.

        Args:
            views: N pictures.

        Returns:
            Its outputs, each [N,...].
        """
        size = self.tower.image_size
        pixels = np.stack(
            [
                to_pixels(view.image, image_size=size, interpolation=self.interpolation)
                for view in views
            ]
        )
        return self.run(self.tower.normalise(pixels.astype(np.float32)))


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """N views as arrays, one row each.

    Attributes:
        features: Output of the frozen trunk, float16 [N,h,w,c].
        teacher: The teacher's distributions, float32 [N,10].
        hints: The teacher's last feature map, see `hints.hinting`, float16 [N,h,w,k].
        photo: Index of the photo, int32 [N].
        kind: Index of the kind of distortion in `distortions.DISTORTIONS`, -1 for none, int32 [N].
        severity: `View.severity`, float32 [N].
        whole: `View.whole`, bool [N].
    """

    features: npt.NDArray[np.float16]
    teacher: npt.NDArray[np.float32]
    hints: npt.NDArray[np.float16]
    photo: npt.NDArray[np.int32]
    kind: npt.NDArray[np.int32]
    severity: npt.NDArray[np.float32]
    whole: npt.NDArray[np.bool_]

    def save(self, folder: Path) -> None:
        """Writes one `.npy` file an array; the folder appears complete or not at all."""
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for field in fields(self):
            np.save(partial / f"{field.name}.npy", getattr(self, field.name))
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)

    @classmethod
    def load(cls, folder: Path) -> FeatureSet:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: There is none; run `siamese-nima prepare` first.
        """
        if not folder.is_dir():
            raise FileNotFoundError(f"no features in {folder}: run `siamese-nima prepare` first")
        return cls(**{field.name: np.load(folder / f"{field.name}.npy") for field in fields(cls)})


def compute_features(
    views: Iterable[View], trunk: Model, teacher: Model, kinds: list[str]
) -> Iterator[FeatureSet]:
    """Computes features, hints and the teacher's distributions in batches.

    Args:
        views: Pictures.
        trunk: The frozen part of the student.
        teacher: The teacher; its outputs are distributions and hints.
        kinds: Names of the distortions in the order of their indices.

    Yields:
        Sets of up to `BATCH` rows, for `concatenate`.
    """
    pending = iter(views)
    # The next views are drawn while the models run on these.
    with ThreadPoolExecutor(1) as drawer:
        drawn = drawer.submit(lambda: list(islice(pending, BATCH)))
        while batch := drawn.result():
            drawn = drawer.submit(lambda: list(islice(pending, BATCH)))
            (features,) = trunk(batch)
            distributions, hints = teacher(batch)
            yield FeatureSet(
                features.astype(np.float16),
                distributions.astype(np.float32),
                hints.astype(np.float16),
                np.array([view.photo for view in batch], np.int32),
                np.array([kinds.index(v.kind) if v.kind else -1 for v in batch], np.int32),
                np.array([view.severity for view in batch], np.float32),
                np.array([view.whole for view in batch], np.bool_),
            )


def concatenate(parts: Iterable[FeatureSet]) -> FeatureSet:
    """Joins sets in order."""
    listed = list(parts)
    return FeatureSet(
        *(
            np.concatenate([getattr(part, field.name) for part in listed])
            for field in fields(FeatureSet)
        )
    )
