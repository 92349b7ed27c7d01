"""One version everywhere, and figures that are of the weights that are there."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

import iq_tools

ROOT = Path(__file__).resolve().parents[2]
VERSION = iq_tools.__version__
ROOMS = ("serving", "client", "training", "model_repository")
GRAPHS = [ROOT / "model_repository/nima_tower/1/model.onnx", *ROOT.glob("towers/*/model.onnx")]
# A page may also speak of a graph that is no longer there, and then says so in front of its sum.
FORMER = re.compile(r"\b(?:former|earlier)\b")
SUM = re.compile(r"sha256 `([0-9a-f]{8,64})…?`")


def test_every_wheel_has_the_same_version() -> None:
    projects = [tomllib.loads((ROOT / room / "pyproject.toml").read_text()) for room in ROOMS]
    assert {each["project"]["version"] for each in projects} == {VERSION}
    extras = projects[ROOMS.index("client")]["project"]["optional-dependencies"]
    assert f"iq-nima=={VERSION}" in extras["local"]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("pyproject.toml", r'^version = "(.*)"$'),
        ("compose.yaml", r"siamese-nima:(\d.*)$"),
        ("docs/guides/deployment.md", r"siamese-nima:(\d[\d.]*\d)"),
        ("deploy/helm/siamese-nima/Chart.yaml", r'^(?:version|appVersion): "?([\d.]+)"?$'),
        ("deploy/kserve/inferenceservice.yaml", r"siamese-nima:(\d[\d.]*\d)"),
        ("deploy/ray/rayjob.yaml", r"iq-client-ray:(\d[\d.]*\d)"),
    ],
)
def test_every_file_names_this_version(name: str, pattern: str) -> None:
    found = re.findall(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    assert set(found) == {VERSION}


def test_results_are_of_the_weights_that_are_there() -> None:
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in GRAPHS]
    pages = [
        page
        for pattern in ("*.md", "docs/**/*.md", "towers/*/*.md", "model_repository/nima_tower/*.md")
        for page in ROOT.glob(pattern)
    ]
    named = 0
    for page in pages:
        text = re.sub(r"\s+", " ", page.read_text(encoding="utf-8"))
        for match in SUM.finditer(text):
            named += 1
            sentence = text[: match.start()].rpartition(". ")[2]
            assert FORMER.search(sentence) or any(each.startswith(match[1]) for each in sums), (
                f"{page.relative_to(ROOT)} has figures of {match[1]}, not there: renew them"
            )
    assert named >= 2
