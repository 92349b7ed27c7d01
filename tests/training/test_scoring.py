"""Weight file, SavedModel, ONNX file and server give the same scores, from the command line."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from iq_client import LocalServer
from siamese_nima.cli import main
from siamese_nima.errors import ConfigError
from siamese_nima.export import export_saved_model
from siamese_nima.prediction import predict, write_table
from siamese_nima.scoring import open_scorer
from siamese_nima.towers import build_tower, get_tower
from siamese_nima.weights import save_weights


@pytest.fixture(scope="module")
def models(
    tmp_path_factory: pytest.TempPathFactory,
    condition: Callable[[keras.Model, np.ndarray], None],
) -> Path:
    """The same tower as `w.h5` and as `saved_model`."""
    folder = tmp_path_factory.mktemp("models")
    tower = get_tower("mobilenet")
    model = build_tower(tower)
    flat = np.linspace(-1, 1, 8, dtype=np.float32)[:, None, None, None]
    condition(model, np.broadcast_to(flat, (8, *tower.image_size, 3)))
    save_weights(model, folder / "w.h5")
    export_saved_model(tower, model, folder / "saved_model", interpolation="nearest")
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_predict_ranks_and_tells_what_it_could_not_score(labelled: Path, models: Path) -> None:
    photos = labelled / "photos"
    (photos / "2.png").write_bytes(b"not a photo")
    names = labelled / "names.csv"
    names.write_text("file_name\n5.png\n2.png\ngone.png\n0.png\n5.png\n")
    common = ("predict", photos, "--file", names, "--interpolation", "nearest")
    tables = []
    for name, model in (("a", ("w.h5", "--tower", "mobilenet")), ("b", ("saved_model",))):
        output = labelled / f"{name}.csv"
        result = run(*common, "-o", output, "--model", models / model[0], *model[1:])
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
    assert sorted(int(row["rank"]) for row in (first, zero, again)) == [1, 2, 3]
    assert (float(first["mean"]) > float(zero["mean"])) == (int(zero["rank"]) == 3)
    for a, b in zip(*tables, strict=True):
        assert a["error"] == b["error"]
        if not a["error"]:
            shares = [float(a[f"p{vote}"]) for vote in range(1, 11)]
            mean = sum(vote * share for vote, share in enumerate(shares, 1))
            assert float(a["mean"]) == pytest.approx(mean, abs=1e-4)
            assert float(a["mean"]) == pytest.approx(float(b["mean"]), abs=1e-3)


def test_predict_as_a_table_and_as_parquet(labelled: Path, models: Path) -> None:
    (labelled / "photos" / "2.png").write_bytes(b"not a photo")
    paths = [labelled / "photos" / f"{index}.png" for index in (5, 2, 0)]
    frame = predict([str(path) for path in paths], open_scorer(models / "saved_model"))
    assert list(frame.columns) == [
        "source", "mean", "std", *(f"p{vote}" for vote in range(1, 11)), "rank", "error",
    ]  # fmt: skip
    assert list(frame["source"]) == [str(path) for path in paths]
    assert sorted(frame["rank"].dropna()) == [1, 2]
    assert frame["mean"].isna().tolist() == [False, True, False]
    assert frame.loc[frame["rank"] == 1, "mean"].item() == frame["mean"].max()
    np.testing.assert_allclose(
        frame.filter(regex=r"^p\d").sum(axis=1, skipna=False), [1, np.nan, 1]
    )
    pytest.importorskip("pyarrow")
    write_table(frame, labelled / "scores.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(labelled / "scores.parquet"), frame)


def test_predict_nothing(models: Path) -> None:
    frame = predict([], open_scorer(models / "saved_model"))
    assert len(frame) == 0
    assert {"source", "mean", "p10", "rank"} <= set(frame.columns)


def test_predict_prints_a_table(labelled: Path, models: Path) -> None:
    result = run("predict", labelled / "photos", "--model", models / "saved_model")
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert len(rows) == 24
    assert sorted(int(row["rank"]) for row in rows) == list(range(1, 25))


def test_evaluate_reports_the_agreement_with_labels(labelled: Path, models: Path) -> None:
    found = labelled / "found.json"
    result = run(
        "evaluate", labelled / "photos", "--file", labelled / "labels.csv", "--model",
        models / "saved_model", "--resamples", 20, "--json", found, "--report",
        labelled / "report.html",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    metrics = json.loads(found.read_text())["metrics"]
    assert metrics["pairwise"]["count"] == 3 * 8 * 8
    assert "pairwise gap 14" in (labelled / "report.html").read_text()
    assert set(metrics) == {"srcc", "lcc_mean", "pairwise", "pairwise gap 7", "pairwise gap 14"}
    low, value, high = (metrics["srcc"][key] for key in ("low", "value", "high"))
    assert -1 <= low <= value <= high <= 1
    assert "pairwise gap 14" in result.output


def test_a_report_that_cannot_be_written_is_refused_first(labelled: Path, models: Path) -> None:
    result = run(
        "evaluate", labelled / "photos", "--file", labelled / "labels.csv", "--weights",
        models / "gone.h5", "--report", labelled / "report.pdf",
    )  # fmt: skip
    assert result.exit_code == 1
    assert "ends in .html or .png" in result.output


def test_evaluate_on_distortions(labelled: Path, models: Path) -> None:
    for index in range(2, 24):
        (labelled / "photos" / f"{index}.png").unlink()
    result = run(
        "evaluate", labelled / "photos", "--form", "distortions", "--model",
        models / "saved_model", "--resamples", 5,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "pairwise jpeg" in result.output


def test_server_and_onnx_file_score_alike(
    server: LocalServer, model_repository: Path, example_photos: list[Path]
) -> None:
    files = [*(path.read_bytes() for path in example_photos[:3]), b"not a photo"]
    served = open_scorer(f"grpc://{server.url}")(files)
    onnx = open_scorer(str(model_repository / "nima_tower" / "1" / "model.onnx"))(files)
    assert [bool(error) for error in served.errors] == [False, False, False, True]
    assert [bool(error) for error in onnx.errors] == [False, False, False, True]
    assert np.isnan(served.distributions[3]).all()
    np.testing.assert_allclose(served.distributions, onnx.distributions, atol=2e-3)


def test_graphs_and_servers_need_no_framework_for_training() -> None:
    modules = "siamese_nima.prediction, siamese_nima.scoring, siamese_nima.agreement"
    code = f"import sys, {modules}; print({{'keras', 'tensorflow'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_models_that_cannot_be_opened(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--tower"):
        open_scorer(str(models / "w.h5"))
    with pytest.raises(ConfigError, match="SavedModel folder"):
        open_scorer(str(tmp_path))
    with pytest.raises(ConfigError, match="did not score"):
        open_scorer("grpc://localhost:1")([b""])
