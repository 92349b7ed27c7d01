"""The check of a GPU, run with a CPU in its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from iq_serving.gpu_pixels import cpu_device
from iq_tools.cli import cli
from iq_tools.errors import GpuError, InputError, MissingToolError
from iq_tools.graph.tower import read_tower
from iq_tools.measure import gpu_check
from iq_tools.repository import write_repository
from iq_tools.tensorrt.gpu import describe_gpu

pytest.importorskip("nvidia.nvimgcodec", reason="needs nvidia-nvimgcodec-cu13")


@pytest.fixture(scope="module")
def repository(onnx_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_repository(onnx_file, folder)
    return folder


@pytest.fixture
def photos(example_photos: list[Path], tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in example_photos[:3]:
        (folder / path.name).symlink_to(path)
    return folder


def _check(repository: Path, photos: Path, *options: str) -> Result:
    return CliRunner().invoke(
        cli,
        ["gpu-check", "--model-repository", str(repository), "--photos", str(photos),
         "--seconds", "0", *options],
    )  # fmt: skip


def test_decoding_is_measured_against_the_host(onnx_file: Path, photos: Path) -> None:
    files = [path.read_bytes() for path in sorted(photos.iterdir())]
    found = gpu_check.measure_decoding(cpu_device(), files, read_tower(onnx_file), 0.0, batch=2)
    assert found.on_gpu > 0
    assert found.on_host > 0
    assert found.left_to_host == 0
    assert 0 <= found.difference < 1


def test_a_photo_that_cannot_be_read_is_named(onnx_file: Path) -> None:
    with pytest.raises(InputError, match="1 photos cannot be read, such as: UNREADABLE"):
        gpu_check.measure_decoding(cpu_device(), [b"no photo"], read_tower(onnx_file), 0.0)


def test_operations_are_two_for_each_weight_at_each_place(onnx_file: Path) -> None:
    # The tiny tower halves 24x32 twice.
    convolution, depthwise, dense = 3 * 3 * 3 * 8 * 12 * 16, 3 * 3 * 8 * 6 * 8, 8 * 10
    assert gpu_check.count_operations(onnx_file) == 2 * (convolution + depthwise + dense)


@pytest.mark.skipif(describe_gpu() is not None, reason="there is a GPU here")
def test_without_a_gpu_it_says_so(repository: Path, photos: Path) -> None:
    result = _check(repository, photos)
    assert result.exit_code == GpuError.exit_code
    assert "no NVIDIA GPU" in result.output


@pytest.mark.usefixtures("gpu", "trtexec")
def test_everything_is_measured_and_set_beside_the_peak(
    repository: Path,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu_check, "open_device", cpu_device)
    monkeypatch.setattr(gpu_check, "_MATRIX", 32)
    result = _check(repository, photos, "--builder", "trtexec")
    assert result.exit_code == 0, result.output
    rows = dict(re.findall(r"^\| (.+) \| (.+) \|$", result.stdout, re.M))
    assert rows["GPU"] == "NVIDIA L4, compute 8.9, driver 590.10"
    assert rows["FP16 matrix product"].endswith("TFLOP/s")
    assert rows["files left to the host"] == "0 of 3"
    # 12.5 batches of 64 a second, as the fake says.
    assert rows["tower tiny in TensorRT 10.13.1, FP16, batch 64"].startswith("800 images/s = ")


def test_the_server_needs_perf_analyzer(repository: Path, photos: Path, tmp_path: Path) -> None:
    result = _check(
        repository, photos, "--url", "localhost:1", "--perf-analyzer", str(tmp_path / "none")
    )
    assert result.exit_code == MissingToolError.exit_code
    assert "pip install perf-analyzer" in result.output
