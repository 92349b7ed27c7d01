"""Pictures and the page of an evaluation."""

from __future__ import annotations

import base64
import re
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from siamese_nima.data.distortions import DISTORTIONS, LEVELS
from siamese_nima.data.samples import ORIGINAL, Sample
from siamese_nima.errors import ConfigError
from siamese_nima.evaluate.agreement import agreement
from siamese_nima.evaluate.report import Evaluation, _apart, write_report

pytest.importorskip("matplotlib")


def distributions(means: npt.NDArray[Any]) -> npt.NDArray[Any]:
    votes = np.arange(1, 11)
    shares = np.exp(-((votes - means[:, None]) ** 2) / 4)
    return np.asarray(shares / shares.sum(1, keepdims=True))


def labelled(count: int = 30, *, std: float | None = None, distinct: int = 30) -> Evaluation:
    scores = np.arange(count) % distinct * 9 / max(1, distinct - 1) + 1
    samples = [Sample(Path(f"{i}.jpg"), float(s), std=std) for i, s in enumerate(scores)]
    noise = np.random.default_rng(0).normal(0, 0.5, count)
    return evaluation(samples, distributions(4 + scores / 4 + noise))


def ladders() -> Evaluation:
    samples, means = [], []
    for photo in range(3):
        for kind in ("blur", "noise"):
            group = f"{photo}#{kind}"
            samples.append(Sample(Path(f"{photo}.jpg"), 0.0, group=group, kind=ORIGINAL))
            means.append(6.0 + photo / 9)
            for level, severity in enumerate(LEVELS, 1):
                samples.append(
                    Sample(samples[-1].path, -level, group=group, kind=kind, severity=severity)
                )
                means.append(6.0 + photo / 9 - level / 2)
    return evaluation(samples, distributions(np.array(means)))


def evaluation(samples: list[Sample], predicted: npt.NDArray[Any]) -> Evaluation:
    metrics = agreement(samples, predicted, resamples=5)
    return Evaluation("tower <b>", "photos & more", samples, predicted, metrics)


class Page(HTMLParser):
    """Cells, pictures and whatever the page would load."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.pictures: list[ElementTree.Element] = []
        self.texts: list[str] = []
        self._tag = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        values = dict(attrs)
        assert "href" not in values
        if source := values.get("src"):
            head, data = source.split(",", 1)
            assert head == "data:image/svg+xml;base64"
            svg = base64.b64decode(data).decode()
            self.pictures.append(ElementTree.fromstring(svg))
            self.texts.append(" ".join(re.findall(r"<!-- (.*?) -->", svg)))
            assert (values["alt"] or "no text") in self.texts[-1]

    def handle_data(self, data: str) -> None:
        if self._tag == "td" and data.strip():
            self.cells.append(data)


def test_the_page_holds_every_metric_and_loads_nothing(tmp_path: Path) -> None:
    told = labelled(std=1.5)
    write_report(told, tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    assert page.cells[::4] == list(told.metrics)
    srcc = told.metrics["srcc"]
    place = page.cells.index("srcc")
    assert page.cells[place + 1 : place + 4] == [
        f"{srcc.value:.4f}", f"{srcc.low:.4f} to {srcc.high:.4f}", "30",
    ]  # fmt: skip
    assert len(page.pictures) == 2
    assert "label: mean vote, 1 to 10" in page.texts[0]
    assert "gap between the labels, n pairs" in page.texts[1]
    text = (tmp_path / "report.html").read_text()
    assert "tower &lt;b&gt; on photos &amp; more" in text
    assert "<b>" not in text


def test_ladders_are_drawn_by_kind_and_level(tmp_path: Path) -> None:
    write_report(ladders(), tmp_path / "report.html")
    levels, kinds, gaps = Page(tmp_path / "report.html").texts
    for word in ("n = 3 photos", "level of distortion", "blur", "noise", "none"):
        assert word in levels
    assert "30 pairs" in kinds
    assert "1.000" in kinds
    assert "gap in levels, n pairs" in gaps


@pytest.mark.parametrize(("told", "panels"), [(labelled(), 2), (ladders(), 3)])
def test_the_picture(tmp_path: Path, told: Evaluation, panels: int) -> None:
    write_report(told, tmp_path / "report.png")
    with Image.open(tmp_path / "report.png") as picture:
        assert picture.format == "PNG"
        assert picture.width / picture.height > panels
        colours = {colour for _, colour in picture.convert("RGB").getcolors(2**24) or []}
    assert (0, 0x72, 0xB2) in colours


def test_the_same_evaluation_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.html", "b.html", "a.png", "b.png"):
        write_report(labelled(), tmp_path / name)
    for suffix in ("html", "png"):
        first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
        assert first == second


@pytest.mark.parametrize(
    "told",
    [labelled(1), labelled(2), labelled(9, distinct=1), labelled(40, distinct=3), labelled(2000)],
)
def test_little_and_much_is_drawn(tmp_path: Path, told: Evaluation) -> None:
    write_report(told, tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    assert page.cells[::4] == list(told.metrics)
    assert len(page.pictures) == 1 + any("gap" in name for name in told.metrics)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=len(DISTORTIONS)).map(sorted))
def test_labels_of_lines_do_not_touch(ends: list[float]) -> None:
    places = _apart(ends, 0.5)
    assert all(upper - lower > 0.49 for lower, upper in pairwise(places))
    assert sum(places) == pytest.approx(sum(ends), abs=1e-6)
    if all(upper - lower >= 0.5 for lower, upper in pairwise(ends)):
        assert places == ends


def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.html or \.png"):
        write_report(labelled(), tmp_path / "report.pdf")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"siamese-nima\[report\]"):
        write_report(labelled(), tmp_path / "report.png")
    assert not list(tmp_path.iterdir())
