"""`siamese-nima predict`: a table of scores, and what could not be scored."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from siamese_nima.towers.registry import TOWERS, Tower

Run = Callable[..., Result]


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_predict_ranks_and_tells_what_it_could_not_score(
    run: Run,
    labelled: Path,
    saved_models: tuple[Path, Path],
    tiny: Tower,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(TOWERS, "tiny", tiny)
    saved, _ = saved_models
    photos = labelled / "photos"
    (photos / "2.png").write_bytes(b"not a photo")
    names = labelled / "names.csv"
    names.write_text("file_name\n5.png\n2.png\ngone.png\n0.png\n5.png\n")
    common = ("predict", photos, "--file", names)
    tables = []
    for name, model in (
        ("a", (saved.with_suffix(".h5"), "--tower", "tiny")),
        ("b", (saved,)),
    ):
        output = labelled / f"{name}.csv"
        result = run(*common, "-o", output, "--model", *model)
        assert result.exit_code == 1
        assert "2 of 5 photos could not be scored" in result.output
        tables.append(table(output))
    assert [Path(row["source"]).name for row in tables[0]] == [
        "5.png", "2.png", "gone.png", "0.png", "5.png",
    ]  # fmt: skip
    assert [row["error"].split(":")[0] for row in tables[0]] == [
        "",
        "UNREADABLE",
        "MISSING",
        "",
        "",
    ]
    first, zero, again = (tables[0][index] for index in (0, 3, 4))
    assert float(first["mean"]) == pytest.approx(float(again["mean"]), abs=1e-4)
    assert abs(float(first["mean"]) - float(zero["mean"])) > 0.01
    assert sorted(int(row["rank"]) for row in (first, zero, again)) == [1, 2, 3]
    assert (float(first["mean"]) > float(zero["mean"])) == (int(zero["rank"]) == 3)
    for a, b in zip(*tables, strict=True):
        assert a["error"] == b["error"]
        if not a["error"]:
            shares = [float(a[f"p{vote}"]) for vote in range(1, 11)]
            mean = sum(vote * share for vote, share in enumerate(shares, 1))
            assert float(a["mean"]) == pytest.approx(mean, abs=1e-4)
            assert float(a["mean"]) == pytest.approx(float(b["mean"]), abs=1e-3)


def test_predict_prints_a_table(run: Run, labelled: Path, saved_models: tuple[Path, Path]) -> None:
    result = run("predict", labelled / "photos", "--model", saved_models[0])
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert len(rows) == 24
    assert sorted(int(row["rank"]) for row in rows) == list(range(1, 25))
