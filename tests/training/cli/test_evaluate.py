"""`siamese-nima evaluate`: one model, two, and some of the photos."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from siamese_nima.data.distortions import DISTORTIONS, LEVELS

Run = Callable[..., Result]


def test_evaluate_reports_the_agreement_with_labels(
    run: Run, labelled: Path, saved_models: tuple[Path, Path]
) -> None:
    found = labelled / "found.json"
    result = run(
        "evaluate", labelled / "photos", "--file", labelled / "labels.csv", "--model",
        saved_models[0], "--resamples", 20, "--json", found, "--report",
        labelled / "report.html",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    told = json.loads(found.read_text())
    assert told["model"] == str(saved_models[0])
    assert (told["photos"], told["only"]) == (24, None)
    assert "24 photos" in result.output
    metrics = told["metrics"]
    assert metrics["pairwise"]["count"] == 3 * 8 * 8
    assert "pairwise gap 14" in (labelled / "report.html").read_text()
    assert set(metrics) == {
        "srcc", "plcc", "std_ratio", "pairwise", "pairwise gap 7", "pairwise gap 14",
    }  # fmt: skip
    low, value, high = (metrics["srcc"][key] for key in ("low", "value", "high"))
    assert -1 <= low <= value <= high <= 1
    assert "pairwise gap 14" in result.output


def test_a_report_that_cannot_be_written_is_refused_first(run: Run, labelled: Path) -> None:
    result = run(
        "evaluate", labelled / "photos", "--file", labelled / "labels.csv", "--weights",
        labelled / "gone.h5", "--report", labelled / "report.pdf",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "ends in .html or .png" in result.output


def test_evaluate_on_distortions(run: Run, labelled: Path, saved_models: tuple[Path, Path]) -> None:
    for index in range(2, 24):
        (labelled / "photos" / f"{index}.png").unlink()
    result = run(
        "evaluate", labelled / "photos", "--form", "distortions", "--model",
        saved_models[0], "--resamples", 5,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "pairwise jpeg" in result.output


def test_two_models_are_compared_on_the_same_photos(
    run: Run, labelled: Path, saved_models: tuple[Path, Path]
) -> None:
    first, second = saved_models
    found = labelled / "found.json"
    result = run(
        "evaluate", labelled / "photos", "--file", labelled / "labels.csv", "--model", first,
        "--model", second, "--resamples", 50, "--stability", "--json", found,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    told = json.loads(found.read_text())
    assert [each["model"] for each in told["models"]] == [str(first), str(second)]
    one, two = (each["metrics"] for each in told["models"])
    assert set(one) == set(two) == set(told["differences"])
    assert one["moved by resizing"]["count"] == 24
    assert 0 < one["moved by resizing"]["value"] != two["moved by resizing"]["value"]
    assert one["std_ratio"]["value"] != two["std_ratio"]["value"]
    for name, difference in told["differences"].items():
        gap = one[name]["value"] - two[name]["value"]
        assert difference["value"] == pytest.approx(gap)
        assert difference["within_noise"] == (difference["low"] <= 0 <= difference["high"])
    same = run(
        "evaluate", labelled / "photos", "--file", labelled / "labels.csv", "--model", first,
        "--model", first, "--resamples", 5, "--json", found,
    )  # fmt: skip
    differences = json.loads(found.read_text())["differences"]
    assert {each["value"] for each in differences.values()} == {0.0}
    assert all(each["within_noise"] for each in differences.values())
    assert f"within noise: {', '.join(differences)}\n" in same.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "b", "--model", "c"], "two models can be compared"),
        (["--model", "b", "--report", "x.html"], "draws one model"),
    ],
)
def test_what_cannot_be_compared(
    run: Run, tmp_path: Path, options: list[str], message: str
) -> None:
    result = run("evaluate", tmp_path, "--model", "a", *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_only_the_photos_of_a_list(
    run: Run, labelled: Path, saved_models: tuple[Path, Path]
) -> None:
    names, found = labelled / "held_out.txt", labelled / "found.json"
    kept = [labelled / "photos" / f"{index}.png" for index in range(9)]
    names.write_text("".join(f"{path}\n" for path in kept))
    words = [
        "evaluate", labelled / "photos", "--file", labelled / "labels.csv", "--model",
        saved_models[0], "--resamples", 5, "--only", names,
    ]  # fmt: skip
    result = run(*words, "--json", found, "--report", labelled / "report.html")
    assert result.exit_code == 0, result.output
    told = json.loads(found.read_text())
    assert told["metrics"]["srcc"]["count"] == told["photos"] == 9
    assert "9 photos" in result.output
    assert (
        "n = 9" in (labelled / "report.html").read_text()
        or "9 photos" in (labelled / "report.html").read_text()
    )
    names.write_text(f"{kept[0]}\n{labelled / 'gone.png'}\n")
    result = run(*words)
    assert result.exit_code == 1
    assert f"{labelled / 'gone.png'}, which is not among" in result.stderr


def test_only_keeps_the_ladders_of_a_photo(
    run: Run, labelled: Path, saved_models: tuple[Path, Path]
) -> None:
    (labelled / "names.txt").write_text("1.png\n")
    found = labelled / "found.json"
    result = run(
        "evaluate", labelled / "photos", "--form", "distortions", "--model", saved_models[0],
        "--resamples", 5, "--only", labelled / "names.txt", "--json", found,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rungs = len(LEVELS) + 1
    metrics = json.loads(found.read_text())["metrics"]
    assert metrics["pairwise"]["count"] == len(DISTORTIONS) * rungs * (rungs - 1) / 2
