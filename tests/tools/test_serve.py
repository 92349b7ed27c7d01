"""Decisions of the container at its start, with fakes of nvidia-smi and trtexec on the PATH."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

from iq_serving.machine import usable_cores
from iq_tools.access import KEY_VARIABLE, access_arguments
from iq_tools.cli import cli
from iq_tools.cores import tower_instances
from iq_tools.errors import (
    GpuError,
    GraphError,
    InputError,
    MissingToolError,
    ScoresMovedError,
)
from iq_tools.graph.tower import graph_of
from iq_tools.repository import write_repository
from iq_tools.serve import ServeOptions, Start, prepare
from iq_tools.tensorrt.builders import find_builder
from iq_tools.tensorrt.plan import PlanOptions

Program = Callable[[str, str], None]


@pytest.fixture
def repository(onnx_file: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    write_repository(onnx_file, folder)
    return folder


def _prepare(repository: Path, photos: Path, tmp_path: Path, runtime: str = "auto") -> Start:
    return prepare(
        ServeOptions(repository, tmp_path / "cache", photos, tmp_path / "work", runtime),
        find_builder=lambda: find_builder("trtexec"),
    )


def test_without_a_gpu_the_default_configuration_is_served(
    repository: Path, photos: Path, program: Program, tmp_path: Path
) -> None:
    program("nvidia-smi", "echo 'No devices were found'; exit 6")
    start = _prepare(repository, photos, tmp_path)
    assert start.config_name is None
    assert "no NVIDIA GPU" in start.reason
    assert not any("model-config-name" in part for part in start.command([]))
    config = (start.repository / "nima_tower" / "config.pbtxt").read_text()
    assert tower_instances(usable_cores(), "KIND_CPU") in config
    assert start.reason.endswith(f"for each core: {usable_cores()}")


def test_a_repository_that_is_to_be_reloaded_is_served_as_it_lies(
    repository: Path, program: Program, tmp_path: Path
) -> None:
    program("nvidia-smi", "echo 'No devices were found'; exit 6")
    program("tritonserver", 'printf "%s\\n" "$@"')
    served = subprocess.run(
        [Path(sys.executable).with_name("iq-tools"), "serve",
         "--model-repository", str(repository), "--work", str(tmp_path / "work"),
         "--cache", str(tmp_path / "cache"), "--photos", str(tmp_path),
         "--model-control-mode=explicit"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )  # fmt: skip
    assert f"--model-repository={repository}\n" in served.stdout


@pytest.mark.usefixtures("gpu", "trtexec")
def test_with_a_gpu_a_plan_is_built_once_and_served(
    repository: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = tmp_path / "builds"
    monkeypatch.setenv("FAKE_TRTEXEC_BUILDS", str(builds))
    before = sorted(repository.rglob("*"))
    starts = [_prepare(repository, photos, tmp_path) for _ in range(2)]
    assert builds.read_text().splitlines() == ["build"]
    assert sorted(repository.rglob("*")) == before  # it may be mounted read-only
    for start in starts:
        assert start.config_name == "tensorrt"
        assert start.reason.startswith("TensorRT 10.13.1 on NVIDIA L4")
        plan = start.repository / "nima_tower" / "1" / "model.plan"
        assert plan.read_bytes().startswith(b"fake engine")
        for path in ("nima/config.pbtxt", "nima_tower/configs/tensorrt.pbtxt"):
            assert (start.repository / path).read_bytes() == (repository / path).read_bytes()
    report = json.loads(next((tmp_path / "cache").rglob("model.json")).read_text())
    assert report["gpu"] == {
        "name": "NVIDIA L4", "compute_cap": "8.9", "driver_version": "590.10",
    }  # fmt: skip
    assert report["precision"] == {"layers": None, "engine": {"CaskConvolution half": 1}}
    assert report["mean_drift"]["plan"] <= 0.03


@pytest.mark.usefixtures("gpu", "trtexec")
@pytest.mark.parametrize(
    ("problem", "says", "configured"),
    [(None, "decoded by the GPU", True), ("no nvJPEG", "by the host, because: no nvJPEG", False)],
)
def test_where_photos_are_decoded_is_found_out_and_told(
    problem: str | None,
    says: str,
    configured: bool,
    repository: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("iq_tools.serve.gpu_decoding_problem", lambda *_: problem)
    start = _prepare(repository, photos, tmp_path)
    assert start.config_name == "tensorrt"
    assert start.reason.endswith(says)
    config = start.repository / "nima_preprocess" / "configs" / "tensorrt.pbtxt"
    assert config.exists() == configured


@pytest.mark.usefixtures("gpu", "trtexec")
def test_replicas_that_start_together_build_once(
    repository: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = tmp_path / "builds"
    monkeypatch.setenv("FAKE_TRTEXEC_BUILDS", str(builds))
    starts: list[Start] = []
    threads = [
        threading.Thread(target=lambda: starts.append(_prepare(repository, photos, tmp_path)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [start.config_name for start in starts] == ["tensorrt"] * 3
    assert builds.read_text().splitlines() == ["build"]


@pytest.mark.usefixtures("trtexec")
def test_another_gpu_gets_a_plan_of_its_own(
    repository: Path, photos: Path, program: Program, tmp_path: Path
) -> None:
    for name in ("NVIDIA L4, 8.9, 590.10", "NVIDIA H100, 9.0, 590.10"):
        program("nvidia-smi", f"echo '{name}'")
        assert _prepare(repository, photos, tmp_path).config_name == "tensorrt"
    assert len(list((tmp_path / "cache").rglob("model.plan"))) == 2


@pytest.mark.usefixtures("trtexec")
def test_gpus_of_several_kinds_are_left_to_onnx_runtime(
    repository: Path, photos: Path, program: Program, tmp_path: Path
) -> None:
    both = "echo 'NVIDIA L4, 8.9, 590.10'; echo 'NVIDIA H100, 9.0, 590.10'"
    program("nvidia-smi", both)
    start = _prepare(repository, photos, tmp_path)
    assert (start.repository, start.config_name) == (repository, None)  # KIND_AUTO takes them
    assert "--gpus device=0" in start.reason


@pytest.mark.usefixtures("gpu", "trtexec")
def test_a_plan_of_other_options_is_not_taken(
    repository: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prepare(repository, photos, tmp_path)
    monkeypatch.setattr(
        "iq_tools.serve.PlanOptions", functools.partial(PlanOptions, workspace_mib=1024)
    )
    _prepare(repository, photos, tmp_path)
    assert len(list((tmp_path / "cache").rglob("model.plan"))) == 2


@pytest.mark.usefixtures("gpu", "trtexec")
@pytest.mark.parametrize(
    ("variable", "value", "error", "reason"),
    [
        ("FAKE_TRTEXEC_FAILS", "1", GpuError, "no kernel for this node"),
        ("FAKE_TRTEXEC_SHIFT", "0.1", ScoresMovedError, "moves a mean score by 0.1"),
    ],
)
def test_a_plan_that_cannot_be_trusted_is_not_served(
    variable: str,
    value: str,
    error: type[Exception],
    reason: str,
    repository: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, value)
    start = _prepare(repository, photos, tmp_path)
    assert start.config_name is None
    assert reason in start.reason
    assert not list((tmp_path / "cache").rglob("model.plan"))
    with pytest.raises(error, match=reason):
        _prepare(repository, photos, tmp_path, runtime="tensorrt")


@pytest.mark.usefixtures("gpu", "trtexec")
def test_a_cache_that_cannot_be_written_is_named(
    repository: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(InputError, match="mount a volume there"):
        _prepare(repository, photos, tmp_path)


@pytest.mark.usefixtures("gpu", "trtexec")
@pytest.mark.parametrize("keep", [0.5, 0.0])
def test_a_damaged_graph_is_not_left_to_onnx_runtime(
    keep: float, repository: Path, photos: Path, tmp_path: Path
) -> None:
    graph = graph_of(repository)
    data = graph.read_bytes()
    graph.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(GraphError, match=re.escape(str(graph))):
        _prepare(repository, photos, tmp_path)


@pytest.mark.usefixtures("gpu", "trtexec")
def test_a_graph_that_no_runtime_takes_is_not_left_to_onnx_runtime(
    repository: Path, photos: Path, tmp_path: Path
) -> None:
    graph = graph_of(repository)
    model = onnx.load(graph)
    model.graph.node[1].op_type = "Nonsense"
    onnx.save(model, graph)
    with pytest.raises(GraphError, match="Nonsense"):
        _prepare(repository, photos, tmp_path)


@pytest.mark.usefixtures("gpu", "trtexec")
def test_a_wrong_folder_is_not_left_to_onnx_runtime(
    repository: Path, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="is no model repository"):
        _prepare(photos, photos, tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="holds no photos"):
        _prepare(repository, empty, tmp_path)


@pytest.mark.usefixtures("gpu", "trtexec")
def test_a_damaged_graph_ends_the_command(
    repository: Path,
    photos: Path,
    program: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program("tritonserver", "echo started")
    monkeypatch.setattr("os.execv", lambda *_: pytest.fail("Triton is started"))
    graph_of(repository).write_bytes(b"damaged")
    result = CliRunner().invoke(
        cli,
        ["serve", "--model-repository", str(repository), "--photos", str(photos),
         "--cache", str(tmp_path / "cache")],
    )  # fmt: skip
    assert result.exit_code == GraphError.exit_code
    assert re.fullmatch(r"Error: .*model\.onnx is no ONNX file, .*\n", result.output)


def test_runtimes_have_names() -> None:
    with pytest.raises(InputError, match="none of auto, tensorrt, onnxruntime"):
        ServeOptions(runtime="openvino")


@pytest.mark.usefixtures("gpu")
def test_a_missing_tensorrt_is_left_to_onnx_runtime(
    repository: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iq_tools.tensorrt.builders._TRTEXEC", tmp_path / "none")
    start = _prepare(repository, photos, tmp_path)
    assert start.config_name is None
    assert "trtexec is not installed" in start.reason


@pytest.mark.usefixtures("gpu")
def test_an_old_tensorrt_is_named(
    repository: Path, photos: Path, program: Program, tmp_path: Path
) -> None:
    program("trtexec", "echo '&&&& RUNNING TensorRT.trtexec [TensorRT v100900]'")
    start = _prepare(repository, photos, tmp_path)
    assert start.config_name is None
    assert "TensorRT 10.9.0 is older than 10.12" in start.reason


@pytest.mark.usefixtures("gpu", "trtexec")
def test_onnx_runtime_can_be_asked_for(repository: Path, photos: Path, tmp_path: Path) -> None:
    start = _prepare(repository, photos, tmp_path, runtime="onnxruntime")
    assert (start.repository, start.config_name) == (repository, None)  # KIND_AUTO takes the GPU
    assert not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("gpu", "trtexec")
def test_the_command_becomes_triton(
    repository: Path,
    photos: Path,
    program: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "a-key-for-this-test")
    program("tritonserver", 'printf "%s\\n" "$$" "$@"')
    process = subprocess.Popen(
        [Path(sys.executable).with_name("iq-tools"), "serve",
         "--model-repository", str(repository), "--cache", str(tmp_path / "cache"),
         "--photos", str(photos), "--work", str(tmp_path / "work"), "--grpc-port=9001"],
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    output, _ = process.communicate()
    pid, served, *rest = output.splitlines()
    assert int(pid) == process.pid  # the container's signals reach Triton itself
    assert served.startswith(f"--model-repository={tmp_path / 'work'}")
    assert rest == [
        "--disable-auto-complete-config", "--model-config-name=tensorrt",
        *access_arguments((), "a-key-for-this-test"), "--grpc-port=9001",
    ]  # fmt: skip


def test_outside_the_container_it_says_so(
    repository: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(
        cli,
        ["serve", "--model-repository", str(repository), "--photos", str(photos),
         "--cache", str(tmp_path / "cache")],
    )  # fmt: skip
    assert result.exit_code == MissingToolError.exit_code
    assert "tritonserver is not on the PATH" in result.output
