"""Precisions of the tower on a CPU: what is written, what is refused, and what the server takes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from click.testing import CliRunner
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import spearmanr
from tritonclient.grpc import model_config_pb2

from iq_client import Client, LocalServer, LocalServerError
from iq_serving.contract import INT8_FILE, PRECISIONS, Tower
from iq_serving.machine import has_bf16
from iq_tools.cli import cli
from iq_tools.errors import InputError, ScoresMovedError
from iq_tools.graph import int8
from iq_tools.graph.runner import OnnxTower
from iq_tools.repository import CpuPrecision, repository_files, write_repository

pytestmark = pytest.mark.slow  # starts servers of its own

TOWER = Path("nima_tower")
SERVED = Path("nima", "configs", "embedded.pbtxt")

Pixels = npt.NDArray[np.uint8]


def _photos(count: int, size: tuple[int, int], seed: int = 0) -> Pixels:
    """Soft random pictures of different brightness and contrast, uint8 [count,H,W,3]."""
    random = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        low, high = sorted(random.integers(0, 256, 2))
        small = random.integers(low, high + 1, (4, 4, 3)).astype(np.uint8)
        picture = Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC)
        pictures.append(np.asarray(picture))
    return np.stack(pictures)


def _write(folder: Path, pixels: Pixels) -> Path:
    folder.mkdir()
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def repository(
    onnx_file: Path, tmp_path_factory: pytest.TempPathFactory, description_size: tuple[int, int]
) -> Path:
    """A repository of the tiny tower in INT8."""
    folder = tmp_path_factory.mktemp("int8")
    photos = _write(folder / "photos", _photos(int8.MIN_PHOTOS, description_size))
    command = ["repository", "--onnx", str(onnx_file), "--output", str(folder / "repository")]
    result = CliRunner().invoke(
        cli, [*command, "--precision", "int8", "--calibration", str(photos)]
    )
    assert result.exit_code == 0, result.output
    assert "Spearman" in result.output
    return folder / "repository"


@pytest.fixture(scope="module")
def description_size(onnx_file: Path) -> tuple[int, int]:
    from iq_tools.graph.tower import read_tower

    return read_tower(onnx_file).image_size


def test_the_graph_computes_in_integers_and_ends_in_f32(repository: Path) -> None:
    model = onnx.load(repository / TOWER / "1" / INT8_FILE)
    onnx.checker.check_model(model)
    made = {output: node.op_type for node in model.graph.node for output in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    fed = [made.get(node.input[0]) for node in convolutions]
    assert "DequantizeLinear" not in fed[:1]
    assert set(fed[1:]) == {"DequantizeLinear"}
    (softmax,) = (node for node in model.graph.node if node.op_type == "Softmax")
    assert made[softmax.input[0]] not in ("QuantizeLinear", "DequantizeLinear")
    assert onnx.load(repository / TOWER / "1" / "model.onnx").metadata_props == model.metadata_props


def test_the_server_scores_with_it_and_orders_alike(
    repository: Path, description_size: tuple[int, int], tmp_path: Path
) -> None:
    config = text_format.Parse(
        (repository / SERVED).read_text(),
        model_config_pb2.ModelConfig(),
    )
    assert config.parameters["precision"].string_value == "int8"
    pixels = _photos(40, description_size, seed=1)
    files = []
    for picture in pixels:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        files.append(buffer.getvalue())
    with LocalServer(repository) as server, Client(server.url) as client:
        served = [score.mean for score in client.score_images(files, raise_on_error=True)]
    folder = repository / TOWER / "1"
    f32 = OnnxTower(folder / "model.onnx").score(pixels)["MEAN"][:, 0]
    expected = OnnxTower(folder / INT8_FILE).score(pixels)["MEAN"][:, 0]
    np.testing.assert_allclose(served, expected, atol=1e-3)
    assert np.abs(f32 - expected).max() > 1e-4  # integers it was, not f32
    assert int8.spearman(f32, np.array(served, np.float32)) >= int8.MIN_SPEARMAN


def test_a_tower_whose_order_suffers_stays_f32(
    onnx_file: Path, description_size: tuple[int, int], tmp_path: Path
) -> None:
    # Photos that differ by one level in one pixel have an order that eight bits cannot tell.
    random = np.random.default_rng(0)
    grey = np.full((int8.MIN_PHOTOS, *description_size, 3), 128)
    for picture in grey:
        row, column = (random.integers(0, side) for side in description_size)
        picture[row, column] += random.integers(-1, 2, 3)
    photos = _write(tmp_path / "photos", grey.astype(np.uint8))
    with pytest.raises(ScoresMovedError, match=r"Spearman 0\.99.*MinMax.*Percentile.*Entropy"):
        write_repository(onnx_file, tmp_path / "repository", precision=CpuPrecision("int8", photos))
    assert not (tmp_path / "repository").exists()


def test_int8_wants_photos_and_enough_of_them(
    onnx_file: Path, description_size: tuple[int, int], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="--calibration"):
        write_repository(onnx_file, tmp_path / "none", precision=CpuPrecision("int8"))
    few = _write(tmp_path / "few", _photos(5, description_size))
    with pytest.raises(InputError, match="5 photos are too few"):
        write_repository(onnx_file, tmp_path / "none", precision=CpuPrecision("int8", few))
    assert not (tmp_path / "none").exists()


def test_bf16_is_refused_where_the_processor_lacks_it(
    onnx_file: Path, description: dict[str, Any], tmp_path: Path
) -> None:
    if has_bf16():
        pytest.skip("this processor computes in bf16")
    with pytest.raises(InputError, match="AVX512-BF16"):
        write_repository(onnx_file, tmp_path / "one", precision=CpuPrecision("bf16"))
    assert not (tmp_path / "one").exists()
    # A repository from another machine: the server refuses as well, and does not serve f32.
    write_repository(onnx_file, tmp_path / "two")
    config = tmp_path / "two" / SERVED
    tower = Tower.read(tmp_path / "two" / TOWER / "1" / "tower.json")
    files = repository_files({1: tower}, precision="bf16")
    config.write_bytes(files[SERVED])
    with pytest.raises(LocalServerError, match="this processor has no bf16"):
        LocalServer(tmp_path / "two").start()


def test_an_int8_repository_without_its_graph_is_refused(onnx_file: Path, tmp_path: Path) -> None:
    write_repository(onnx_file, tmp_path)
    config = tmp_path / SERVED
    config.write_text(config.read_text().replace('"f32"', '"int8"'))
    with pytest.raises(LocalServerError, match=f"{INT8_FILE} is missing"):
        LocalServer(tmp_path).start()


def test_openvino_scores_like_onnx_runtime(
    onnx_file: Path, description_size: tuple[int, int], tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    write_repository(onnx_file, tmp_path)
    config = tmp_path / SERVED
    config.write_text(config.read_text().replace('"onnxruntime"', '"openvino"'))
    pixels = _photos(5, description_size)
    files = []
    for picture in pixels:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        files.append(buffer.getvalue())
    with LocalServer(tmp_path) as server, Client(server.url) as client:
        served = [score.mean for score in client.score_images(files, raise_on_error=True)]
    expected = OnnxTower(onnx_file).score(pixels)["MEAN"][:, 0]
    np.testing.assert_allclose(served, expected, atol=1e-4)


def test_an_unknown_precision_is_refused(description: dict[str, Any]) -> None:
    import json

    tower = Tower.parse(json.dumps(description), origin="a test")
    with pytest.raises(InputError, match=", ".join(PRECISIONS)):
        repository_files({1: tower}, precision="fp8")


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=2, max_size=40))
def test_rank_correlation_is_scipys(pairs: list[tuple[int, int]]) -> None:
    a, b = (np.array(values, np.float32) for values in zip(*pairs, strict=True))
    found = int8.spearman(a, b)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(a, b)[0], abs=1e-9)


def test_what_is_not_a_number_correlates_with_nothing() -> None:
    assert np.isnan(int8.spearman(np.array([1, 2, np.nan], np.float32), np.ones(3, np.float32)))
