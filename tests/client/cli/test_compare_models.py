"""`iq-client compare-models`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.client.cli.conftest import Run
from tests.client.conftest import Mean
from tests.client.faulty import FaultyServer, description

from iq_client import LocalServer

# A photo's mean is its length on the server with faults, and a checksum on the stand-in.
SIZES = {"a.jpg": 1, "b.jpg": 5, "deeper/c.jpg": 3, "d.jpg": 7, "e.jpg": 2}


@pytest.fixture
def sized(tmp_path: Path) -> Path:
    folder = tmp_path / "sized"
    (folder / "deeper").mkdir(parents=True)
    for name, size in SIZES.items():
        (folder / name).write_bytes(b"x" * size)
    return folder


@pytest.fixture
def urls(
    run: Run, stub_server: LocalServer, start_faulty: Callable[..., FaultyServer]
) -> Iterator[list[str]]:
    """Arguments that name two servers whose towers differ."""
    faulty = start_faulty()
    faulty.tower = description("lengths")
    yield ["--url", faulty.url, "--other-url", stub_server.url]


def test_two_servers(run: Run, urls: list[str], sized: Path, stub_mean: Mean) -> None:
    found = json.loads(
        run("compare-models", sized, *urls, "--format", "json", "--largest", 2).stdout
    )
    means = [(1.0 + size, stub_mean(b"x" * size)) for size in SIZES.values()]
    shift = sum(second - first for first, second in means) / len(means)
    assert abs(shift) > 0.01
    assert found["shift"] == pytest.approx(shift, abs=1e-5)
    assert found["towers"][0].startswith("lengths@")
    assert found["towers"][1] == "not named"
    assert (found["photos"], found["failed"]) == (len(SIZES), 0)
    assert len(found["disagreements"]) == 2
    assert found["people"] is None


def test_with_ratings(run: Run, urls: list[str], sized: Path, tmp_path: Path) -> None:
    labels = tmp_path / "ratings.csv"
    # As people who like long files rate them; one photo has no rating, one row no photo.
    rows = [f"{name},{size / 2}" for name, size in SIZES.items() if name != "e.jpg"]
    labels.write_text("\n".join(["photo,liked", *rows, "gone.jpg,4", "unrated.jpg,"]) + "\n")
    command = ["compare-models", sized, *urls, "--labels", labels, "--label-column", "liked"]
    people = json.loads(run(*command, "--format", "json").stdout)["people"]
    assert people["photos"] == len(SIZES) - 1
    assert people["first"] == pytest.approx(1)
    assert people["second"] < 0.99
    assert people["difference"] == pytest.approx(people["second"] - 1)
    table = run(*command).stdout
    assert "Spearman 1.000 and" in table and "4 rated" in table and "95 % interval" in table


def test_one_model_of_two_names(run: Run, faulty: FaultyServer, sized: Path) -> None:
    command = ("compare-models", sized, "--url", faulty.url, "--other-model", "candidate")
    found = json.loads(run(*command, "--other-version", 3, "--format", "json").stdout)
    assert {(request.model_name, request.model_version) for request in faulty.requests} == {
        ("nima", ""),
        ("candidate", "3"),
    }
    assert found["spearman"] == pytest.approx(1)
    assert found["disagreements"] == []


def test_photos_that_fail_are_left_out_and_counted(run: Run, urls: list[str], sized: Path) -> None:
    result = run("compare-models", sized, "gone.jpg", *urls, code=1)
    assert "5 scored by both, 1 left out" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "text", "message"),
    [
        ([], "", "say what differs"),
        (["--other-version", 2], "photo,liked\na.jpg,1\n", "no column 'mean' .* one of liked"),
        (["--other-version", 2], "photo,mean\na.jpg,good\n", "holds no ratings"),
        (["--other-version", 2], "photo,mean\na.jpg,1\na.jpg,2\n", "a.jpg has two ratings"),
        (["--other-version", 2], "photo,mean\na.jpg,nan\n", "nan is no rating"),
    ],
)
def test_wrong_usage(
    arguments: list[object], text: str, message: str, run: Run, sized: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "ratings.csv"
    labels.write_text(text)
    stderr = run("compare-models", sized, *arguments, "--labels", labels, code=2).stderr
    words = " ".join(stderr.replace("│", " ").split())
    assert re.search(message, words), words
