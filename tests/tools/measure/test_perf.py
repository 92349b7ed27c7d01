from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from iq_client import LocalServer
from iq_tools.cli import cli
from iq_tools.errors import InputError, IQToolsError, MissingToolError
from iq_tools.measure.perf import (
    Measurement,
    Split,
    Sweep,
    draw,
    find_perf_analyzer,
    markdown_table,
    read_result,
    write_input_data,
)

# What perf_analyzer 2.60 wrote for the ensemble, two requests of two images in flight.
ENSEMBLE = """\
Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,Server Compute Infer,Server Compute Output,Server Cache Hit,Server Cache Miss,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency,Avg latency,request/response,response wait
2,41.5,281,645291,1,6896,1725296,8966,0,0,7,95872,101311,103311,104311,96741,288,96427

"""  # noqa: E501
STEP = """\
Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,Server Compute Infer,Server Compute Output,Server Cache Hit,Server Cache Miss,Client Recv
2,41.5,0,3,{queue},500,{infer},250,0,0,0

"""  # noqa: E501


def test_input_data_holds_each_photo_behind_its_length(tmp_path: Path) -> None:
    photos = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for photo, data in zip(photos, (b"\xff\xd8first", b"second" * 100), strict=True):
        photo.write_bytes(data)
    output = tmp_path / "data.json"
    assert write_input_data(photos, output) == 2
    for photo, entry in zip(photos, json.loads(output.read_text())["data"], strict=True):
        raw = base64.b64decode(entry["IMAGE"]["content"]["b64"])
        assert entry["IMAGE"]["shape"] == [1]
        assert int.from_bytes(raw[:4], "little") == len(raw) - 4
        assert raw[4:] == photo.read_bytes()


def test_the_split_of_an_ensemble_is_that_of_its_steps(tmp_path: Path) -> None:
    (tmp_path / "result.csv").write_text(ENSEMBLE)
    (tmp_path / "nima_preprocess_v1.result.csv").write_text(STEP.format(queue=2000, infer=30000))
    (tmp_path / "nima_tower_v1.result.csv").write_text(STEP.format(queue=9000, infer=50000))
    found = read_result(tmp_path, "nima", 2)
    assert found == Measurement(
        model="nima",
        batch=2,
        concurrency=2,
        images_per_second=pytest.approx(4 / 0.096741),  # type: ignore[arg-type]
        p50=95.872,
        p99=104.311,
        splits=(
            Split("nima_preprocess", queue=2.0, copy=0.75, infer=30.0),
            Split("nima_tower", queue=9.0, copy=0.75, infer=50.0),
        ),
    )
    assert list(tmp_path.iterdir()) == []  # nothing is left to be taken for the next result
    assert (
        "| nima | 2 | 2 | 41.3 | 95.9 | 104.3 "
        "| nima_preprocess 2.0 + 0.8 + 30.0; nima_tower 9.0 + 0.8 + 50.0 |"
    ) in markdown_table([found])


def test_no_result_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IQToolsError, match="measured nothing"):
        read_result(tmp_path, "nima", 1)
    (tmp_path / "result.csv").write_text(ENSEMBLE.splitlines()[0] + "\n")
    with pytest.raises(IQToolsError, match="measured nothing"):
        read_result(tmp_path, "nima", 1)


def test_the_picture_is_a_picture(tmp_path: Path) -> None:
    points = [
        Measurement(model, batch, inflight, 10.0 * batch * inflight, 5.0, 9.0, ())
        for model in ("nima", "nima_tower")
        for batch in (1, 4)
        for inflight in (1, 2)
    ]
    draw(points, tmp_path / "perf.png")
    with Image.open(tmp_path / "perf.png") as picture:
        assert picture.width > picture.height > 100


def test_a_missing_program_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingToolError, match="pip install perf-analyzer"):
        find_perf_analyzer()


@pytest.mark.parametrize("numbers", [{"batches": (1, 0)}, {"concurrencies": (0,)}, {"requests": 0}])
def test_a_sweep_of_nothing_is_refused(numbers: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="1 or more"):
        Sweep(**numbers)


@pytest.mark.skipif(
    shutil.which("perf_analyzer") is None, reason="needs NVIDIA's perf_analyzer on the PATH"
)
def test_a_running_server_is_measured(ensemble_server: LocalServer, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.effect_mandelbrot((320, 240), (-2, -1, 1, 1), 50).save(photos / "a.jpg")
    result = CliRunner().invoke(
        cli,
        ["perf", "--url", ensemble_server.url, "--photos", str(photos),
         "--output", str(tmp_path / "out"),
         "--batch", "2", "--concurrency", "1,2", "--requests", "4"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    table = (tmp_path / "out" / "perf.md").read_text()
    assert table.count("\n| nima |") == table.count("\n| nima_tower |") == 2
    assert "nima_preprocess" in table
    assert (tmp_path / "out" / "perf.png").stat().st_size > 1000
