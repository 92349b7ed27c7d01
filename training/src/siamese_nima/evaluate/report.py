"""An evaluation as pictures, in one PNG or in one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from siamese_nima.data import Sample
from siamese_nima.data.distortions import LEVELS
from siamese_nima.data.samples import ORIGINAL
from siamese_nima.distribution import Floats, mean_opinion_score
from siamese_nima.errors import ConfigError
from siamese_nima.evaluate.agreement import GAP, KIND, Metric
from siamese_nima.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES: Final = (".html", ".png")

# Okabe & Ito's colours, which people with any colour vision tell apart.
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_GREY: Final = "#777777"
_INTERVALS: Final[dict[str, Any]] = {
    "fmt": "o",
    "color": _COLOURS[0],
    "capsize": 3,
    "markersize": 6,
}
_CHANCE: Final = 0.5
_MOST: Final = 1.02  # of the axis of accuracies: a point at 1 is whole
_PANEL: Final = (5.6, 4.4)  # inches
_DPI: Final = 130
_MANY_POINTS: Final = 1500
_PUSHES: Final = 200  # more than six labels need
_95_PERCENT: Final = 1.96  # standard errors of a mean


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Model, photos, scores and metrics: all that a report tells.

    Attributes:
        model: Name or path of the model.
        images: Name or path of the photos.
        samples: N labelled photos, or rungs of ladders.
        predicted: Distributions [N,10].
        metrics: See `agreement.agreement`.
    """

    model: str
    images: str
    samples: Sequence[Sample]
    predicted: Floats
    metrics: Mapping[str, Metric]


def write_report(evaluation: Evaluation, path: Path) -> None:
    """Writes a report.

    Labelled photos: predicted against labelled scores, and pairwise accuracy by the gap between the
    labels. Ladders of distortions: mean score by kind and level, and pairwise accuracy by kind and
    by gap.

    Args:
        evaluation: Scores and metrics.
        path: A `.png` of the pictures, or an `.html` page of pictures and metrics.

    Raises:
        ConfigError: The name ends otherwise, or matplotlib is not installed.
    """
    require_report(path)
    panels = _panels(evaluation)
    if path.suffix.lower() == ".png":
        data = _drawn(panels, "png")
    else:
        data = _page(evaluation, panels).encode()
    with write_atomically(path) as file:
        file.write_bytes(data)


def require_report(path: Path) -> None:
    """Refuses what `write_report` could not write, before anything was computed.

    Raises:
        ConfigError: The name ends otherwise, or matplotlib is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: a report ends in {' or '.join(SUFFIXES)}")
    try:
        import matplotlib  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise ConfigError("reports need: pip install 'siamese-nima[report]'") from error


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    draw: Callable[[Axes], None]


def _panels(evaluation: Evaluation) -> list[_Panel]:
    """The pictures that the labels allow."""
    metrics = evaluation.metrics
    gaps = {name: metrics[name] for name in metrics if name.startswith(GAP)}
    kinds = {name: metrics[name] for name in metrics if name.startswith(KIND) and name not in gaps}
    panels: list[_Panel] = []
    if any(sample.kind for sample in evaluation.samples):
        title = f"Score by distortion, n = {_photos(evaluation)} photos"
        panels.append(_Panel(title, lambda axes: _draw_levels(axes, evaluation)))
    if "srcc" in metrics:
        title = f"Predicted and labelled scores, n = {_photos(evaluation)}"
        panels.append(_Panel(title, lambda axes: _draw_scatter(axes, evaluation)))
    if kinds:
        title = "Milder above stronger, by distortion"
        panels.append(_Panel(title, lambda axes: _draw_kinds(axes, kinds)))
    if gaps:
        title = "Right order, by gap"
        panels.append(_Panel(title, lambda axes: _draw_gaps(axes, gaps, levels=bool(kinds))))
    return panels


def _photos(evaluation: Evaluation) -> int:
    return len({sample.path for sample in evaluation.samples})


def _drawn(panels: Sequence[_Panel], form: str) -> bytes:
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    style: Any = {
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.titlepad": 16,
        "svg.hashsalt": "siamese-nima",  # the same report, the same bytes
    }
    with mpl.rc_context(style):
        width, height = _PANEL
        layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.06)
        figure = Figure(figsize=(width * len(panels), height), layout=layout)
        for axes, panel in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            panel.draw(axes)
            axes.set_title(panel.title)
        file = io.BytesIO()
        # No date, for the same reason.
        metadata: dict[str, Any] = {"Date": None} if form == "svg" else {"Software": None}
        figure.savefig(file, format=form, dpi=_DPI, metadata=metadata)
    return file.getvalue()


def _draw_scatter(axes: Axes, evaluation: Evaluation) -> None:
    """Predicted against labelled scores."""
    labels = np.array([sample.score for sample in evaluation.samples])
    means = mean_opinion_score(evaluation.predicted)
    many = len(labels) > _MANY_POINTS
    votes = any(sample.std is not None for sample in evaluation.samples)
    jitter = np.zeros(len(labels))
    distinct = np.unique(labels)
    if not votes and 1 < len(distinct) < len(labels) / 3:
        # Integer labels: the points of one would hide each other.
        step = np.diff(distinct).min()
        jitter = np.random.default_rng(0).uniform(-0.15, 0.15, len(labels)) * step
    axes.scatter(
        labels + jitter, means,
        s=6 if many else 16, alpha=0.25 if many else 0.6, color=_COLOURS[0], linewidths=0,
        rasterized=many,
    )  # fmt: skip
    if votes:
        low, high = min(labels.min(), means.min()), max(labels.max(), means.max())
        axes.axline((low, low), (high, high), color=_GREY, linewidth=1, linestyle="--")
        axes.annotate("equal", (high, high), color=_GREY, ha="right", va="bottom", fontsize=9)
    found = [
        f"{title} {metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})"
        for title, name in (("SRCC", "srcc"), ("PLCC", "plcc"))
        if (metric := evaluation.metrics[name])
    ]
    axes.set_xlabel("label: mean vote, 1 to 10" if votes else "label")
    axes.set_ylabel("predicted mean vote, 1 to 10")
    axes.text(
        0.02, 0.98, "\n".join(found),
        transform=axes.transAxes, va="top", fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 3},
    )  # fmt: skip
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.18 * (high - low))  # the text stands above the points


def _draw_levels(axes: Axes, evaluation: Evaluation) -> None:
    """Mean score by kind and level of distortion."""
    means = mean_opinion_score(evaluation.predicted)
    kinds = dict.fromkeys(s.kind for s in evaluation.samples if s.kind not in ("", ORIGINAL))
    original = np.array([sample.kind == ORIGINAL for sample in evaluation.samples])
    photos = _photos(evaluation)
    ends = []
    for kind, colour in zip(kinds, _COLOURS, strict=False):
        of_kind = np.array([sample.kind == kind for sample in evaluation.samples])
        level = np.array([-sample.score for sample in evaluation.samples])
        rows = [original, *(of_kind & (level == step) for step in range(1, len(LEVELS) + 1))]
        y = np.array([means[row].mean() for row in rows])
        error = np.array([_95_PERCENT * means[row].std() / np.sqrt(photos) for row in rows])
        x = np.arange(len(y))
        axes.plot(x, y, marker="o", markersize=4, color=colour)
        axes.fill_between(x, y - error, y + error, color=colour, alpha=0.12, linewidth=0)
        ends.append((float(y[-1]), kind, colour))
    low, high = axes.get_ylim()
    line = (high - low) / 16
    ends.sort()
    places = _apart([end for end, _, _ in ends], line)
    axes.set_ylim(min(low, places[0] - line / 2), max(high, places[-1] + line / 2))
    for place, (end, kind, colour) in zip(places, ends, strict=True):
        axes.annotate(
            kind, (len(LEVELS), end), xytext=(len(LEVELS) + 0.15, place), color=colour,
            va="center", fontsize=9, annotation_clip=False,
        )  # fmt: skip
    axes.set_xlim(-0.2, len(LEVELS) + 1.25)
    axes.set_xticks(range(len(LEVELS) + 1), ["none", *map(str, range(1, len(LEVELS) + 1))])
    axes.set_xlabel("level of distortion; band: 95 % of the mean")
    axes.set_ylabel("predicted mean vote, mean of the photos")
    axes.grid(axis="y", alpha=0.3)


def _apart(places: Sequence[float], least: float) -> list[float]:
    """Rising places pushed apart, each pair by as much, until none is nearer than `least`."""
    moved = list(places)
    for _ in range(_PUSHES):
        for lower, upper in pairwise(range(len(moved))):
            lack = least - (moved[upper] - moved[lower])
            if lack > 0:
                moved[lower] -= lack / 2
                moved[upper] += lack / 2
    return moved


def _draw_kinds(axes: Axes, kinds: Mapping[str, Metric]) -> None:
    """Pairwise accuracy by kind of distortion."""
    metrics, places = list(kinds.values()), range(len(kinds))
    names = [f"{name.removeprefix(KIND)}\n{kinds[name].count:,} pairs" for name in kinds]
    axes.errorbar([metric.value for metric in metrics], places, xerr=_errors(metrics), **_INTERVALS)
    for place, metric in zip(places, metrics, strict=True):
        axes.annotate(
            f"{metric.value:.3f}", (metric.low, place), xytext=(-8, 0),
            textcoords="offset points", ha="right", va="center", fontsize=9, color=_GREY,
        )  # fmt: skip
    axes.set_yticks(places, names, fontsize=9)
    axes.set_ylim(len(kinds) - 0.4, -0.6)
    axes.set_xlim(_least(metrics), _MOST)
    axes.axvline(_CHANCE, color=_GREY, linewidth=1, linestyle="--")
    axes.annotate(
        "chance", (_CHANCE, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom",
        fontsize=9, color=_GREY,
    )  # fmt: skip
    axes.set_xlabel("pairwise accuracy, 95 % interval")
    axes.grid(axis="x", alpha=0.3)


def _draw_gaps(axes: Axes, gaps: Mapping[str, Metric], *, levels: bool) -> None:
    """Pairwise accuracy by the gap between the labels."""
    metrics, places = list(gaps.values()), range(len(gaps))
    names = [
        name.removeprefix(GAP).replace("…", " to\n") + f"\nn={gaps[name].count:,}" for name in gaps
    ]
    axes.errorbar(places, [metric.value for metric in metrics], yerr=_errors(metrics), **_INTERVALS)
    axes.set_xticks(places, names, fontsize=9)
    axes.set_xlim(-0.5, len(gaps) - 0.5)
    axes.set_ylim(_least(metrics), _MOST)
    axes.axhline(_CHANCE, color=_GREY, linewidth=1, linestyle="--")
    axes.annotate(
        "chance", (1.01, _CHANCE), xycoords=("axes fraction", "data"), va="center", fontsize=9,
        color=_GREY,
    )  # fmt: skip
    axes.set_xlabel(f"gap {'in levels' if levels else 'between the labels'}, n pairs")
    axes.set_ylabel("pairwise accuracy, 95 % interval")
    axes.grid(axis="y", alpha=0.3)


def _errors(metrics: Sequence[Metric]) -> list[list[float]]:
    """Reach of the intervals below and above the values."""
    return [
        [max(0.0, metric.value - metric.low) for metric in metrics],
        [max(0.0, metric.high - metric.value) for metric in metrics],
    ]


def _least(metrics: Sequence[Metric]) -> float:
    """Start of the axis of accuracies: chance is always on it."""
    return min([_CHANCE, *(metric.low for metric in metrics if math.isfinite(metric.low))]) - 0.04


_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; }
figure { display: inline-block; margin: 0; width: min(100%, 36rem); }
img { width: 100%; }
table { border-collapse: collapse; margin-top: 1rem; }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
"""


def _page(evaluation: Evaluation, panels: Sequence[_Panel]) -> str:
    title = escape(f"{evaluation.model} on {evaluation.images}")
    figures = "".join(
        f'<figure><img alt="{escape(panel.title)}" '
        f'src="data:image/svg+xml;base64,{base64.b64encode(_drawn([panel], "svg")).decode()}">'
        "</figure>\n"
        for panel in panels
    )
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{metric.value:.4f}</td>"
        f"<td>{metric.low:.4f} to {metric.high:.4f}</td><td>{metric.count:,}</td></tr>\n"
        for name, metric in evaluation.metrics.items()
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        f"<p>{_photos(evaluation):,} photos. Intervals are 95 % of a bootstrap over the photos; "
        f"chance gives a pairwise accuracy of {_CHANCE}.</p>\n{figures}"
        "<table>\n<tr><th>metric</th><th>value</th><th>95 % interval</th><th>n</th></tr>\n"
        f"{rows}</table>\n</body>\n</html>\n"
    )
