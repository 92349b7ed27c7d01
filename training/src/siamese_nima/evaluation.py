"""How a tower does on held-out photos: order within ladders of distortions, and its teacher."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from siamese_nima.data.distortions import DISTORTIONS
from siamese_nima.distribution import Floats, mean_opinion_score
from siamese_nima.features import FeatureSet


@dataclass(frozen=True, slots=True)
class Report:
    """Metrics on held-out photos.

    Attributes:
        photos: Number of photos.
        order: For each kind of distortion, the share of pairs (a photo at two levels) whose milder
            side has the higher mean.
        teacher_order: The same of the teacher.
        teacher_spearman: Spearman correlation of the means with the teacher's on undistorted
            photos.
        teacher_emd: Mean EMD (r = 1) to the teacher's distributions on undistorted photos.
    """

    photos: int
    order: dict[str, float]
    teacher_order: dict[str, float]
    teacher_spearman: float
    teacher_emd: float

    def to_dict(self) -> dict[str, object]:
        """A JSON-ready mapping."""
        return dataclasses.asdict(self)


def report(distributions: Floats, views: FeatureSet) -> Report:
    """Compares a tower's distributions with the known order and with the teacher's.

    Args:
        distributions: The tower's, [N,10].
        views: The same N views; ladders and undistorted photos.

    Returns:
        The metrics.
    """
    means, teacher = mean_opinion_score(distributions), mean_opinion_score(views.teacher)
    undistorted = (views.kind < 0) & views.whole
    gap = np.cumsum(distributions[undistorted] - views.teacher[undistorted], axis=-1)
    return Report(
        photos=len(np.unique(views.photo)),
        order=_order(means, views),
        teacher_order=_order(teacher, views),
        teacher_spearman=float(spearmanr(means[undistorted], teacher[undistorted]).statistic),
        teacher_emd=float(np.abs(gap).mean()),
    )


def _order(means: Floats, views: FeatureSet) -> dict[str, float]:
    """Share of ordered pairs, kind by kind."""
    shares = {}
    for index, kind in enumerate(DISTORTIONS):
        right = total = 0
        chosen = views.whole & ((views.kind == index) | (views.kind < 0))
        for photo in np.unique(views.photo):
            rows = np.flatnonzero(chosen & (views.photo == photo))
            ladder = means[rows[np.argsort(views.severity[rows])]]
            falls = ladder[:, None] > ladder[None, :]
            upper = np.triu_indices(len(rows), 1)
            right += int(falls[upper].sum())
            total += len(upper[0])
        shares[kind] = right / total
    return shares
