from __future__ import annotations

import json
import shlex
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result

from iq_tools.cli import cli
from iq_tools.repository import write_repository


@pytest.fixture
def repository(onnx_file: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "model repository"
    write_repository(onnx_file, folder)
    return folder


def _plan(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["plan", *map(str, arguments)])


def test_a_plan_is_put_where_triton_finds_it(repository: Path, photos: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs the extra iq-tools[rtx]")
    before = {path for path in repository.rglob("*") if path.is_file()}
    result = _plan("--repository", repository, "--photos", photos, "--builder", "tensorrt_rtx")
    assert result.exit_code == 0, result.output
    folder = repository / "nima_tower" / "1"
    added = {path for path in repository.rglob("*") if path.is_file()} - before
    assert added == {folder / "model.plan", folder / "model.json"}
    assert (folder / "model.plan").stat().st_size > 1000
    assert json.loads((folder / "model.json").read_text())["builder"] == "tensorrt_rtx"


@pytest.mark.usefixtures("gpu", "trtexec")
def test_the_command_that_serves_the_plan_is_shown(repository: Path, photos: Path) -> None:
    result = _plan("--repository", repository, "--photos", photos, "--builder", "trtexec")
    assert result.exit_code == 0, result.output
    plan = repository / "nima_tower" / "1" / "model.plan"
    assert plan.read_bytes().startswith(b"fake engine")
    start = result.stdout.splitlines()[-1].removeprefix("start with: ")
    assert shlex.split(start) == [
        "tritonserver", f"--model-repository={repository}", "--disable-auto-complete-config",
        "--model-config-name=tensorrt",
    ]  # fmt: skip
    # There is no real GPU: photos would not be decoded there.
    assert "nima_preprocess/configs/tensorrt.pbtxt the host decodes" in result.stderr


@pytest.mark.usefixtures("gpu", "trtexec")
def test_where_the_gpu_decodes_nothing_more_is_said(
    repository: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iq_tools.tensorrt.gpu.gpu_decoding_problem", lambda *_: None)
    result = _plan("--repository", repository, "--photos", photos, "--builder", "trtexec")
    assert result.exit_code == 0, result.output
    assert "host decodes them" not in result.output


@pytest.mark.usefixtures("gpu", "trtexec")
def test_the_former_plan_stays_where_scores_move(
    repository: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = repository / "nima_tower" / "1" / "model.plan"
    plan.write_bytes(b"former")
    monkeypatch.setenv("FAKE_TRTEXEC_SHIFT", "0.1")
    result = _plan("--repository", repository, "--photos", photos, "--builder", "trtexec")
    assert result.exit_code == 6
    assert "moves a mean score by 0.1" in result.output
    assert plan.read_bytes() == b"former"
    assert not [path for path in plan.parent.iterdir() if path.name.startswith(".")]


@pytest.mark.usefixtures("gpu", "trtexec")
def test_a_new_tower_is_not_served_by_the_plan_of_the_former(
    repository: Path, onnx_file: Path, photos: Path, tmp_path: Path
) -> None:
    result = _plan("--repository", repository, "--photos", photos, "--builder", "trtexec")
    assert result.exit_code == 0, result.output
    plan = repository / "nima_tower" / "1" / "model.plan"
    said: list[str] = []
    write_repository(onnx_file, repository, report=said.append)
    assert plan.exists() and not said
    model = onnx.load(onnx_file)
    model.doc_string = "another"
    onnx.save(model, tmp_path / "another.onnx")
    write_repository(tmp_path / "another.onnx", repository, report=said.append)
    assert not plan.exists() and not plan.with_suffix(".json").exists()
    assert "iq-tools plan --repository" in said[0]


@pytest.mark.usefixtures("gpu", "trtexec")
def test_triton_is_told_of_a_version_compatible_plan(repository: Path, photos: Path) -> None:
    result = _plan("--repository", repository, "--photos", photos, "--builder", "trtexec",
                   "--version-compatible")  # fmt: skip
    assert result.exit_code == 0, result.output
    start = result.stdout.splitlines()[-1]
    assert start.endswith(" --backend-config=tensorrt,version-compatible=true")


@pytest.mark.parametrize("option", [("--min-batch", 2), ("--max-batch", 32)])
def test_a_plan_that_triton_would_ask_too_much_of_is_refused(
    option: tuple[str, int], repository: Path, photos: Path
) -> None:
    result = _plan("--repository", repository, "--photos", photos, *option)
    assert result.exit_code == 2
    assert "batches of 1…64" in result.output


def test_one_place_is_given(
    repository: Path, onnx_file: Path, photos: Path, tmp_path: Path
) -> None:
    for arguments in (
        (),
        ("--repository", repository, "--onnx", onnx_file),
        ("--repository", repository, "--output", tmp_path / "model.plan"),
    ):
        result = _plan("--photos", photos, *arguments)
        assert result.exit_code == 2
        assert "either --repository, or --onnx" in result.output


def test_a_folder_that_is_no_repository_is_named(photos: Path) -> None:
    result = _plan("--repository", photos, "--photos", photos)
    assert result.exit_code == 2
    assert f"{photos} is no model repository" in result.output
