"""The precision that a machine gets without being told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iq_serving.contract import INT8_FILE
from iq_tools import precision
from iq_tools.graph.int8 import MIN_PHOTOS
from iq_tools.graph.tower import read_tower
from iq_tools.repository import AUTO, CpuPrecision, write_repository


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, onnx_file: Path) -> Path:
    """Soft random pictures of different brightness."""
    folder = tmp_path_factory.mktemp("photos")
    height, width = read_tower(onnx_file).image_size
    random = np.random.default_rng(0)
    for number in range(MIN_PHOTOS):
        low, high = sorted(random.integers(0, 256, 2))
        small = random.integers(low, high + 1, (4, 4, 3)).astype(np.uint8)
        picture = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:03}.png")
    return folder


def _written(
    monkeypatch: pytest.MonkeyPatch,
    onnx_file: Path,
    output: Path,
    *,
    bf16: bool = False,
    vnni: bool = False,
    calibration: Path | None = None,
) -> tuple[str, list[str]]:
    """The precision in the configuration, and what was said."""
    monkeypatch.setattr(precision, "has_bf16", lambda: bf16)
    monkeypatch.setattr(precision, "has_vnni", lambda: vnni)
    said: list[str] = []
    write_repository(
        onnx_file, output, precision=CpuPrecision(AUTO, calibration), report=said.append
    )
    config = (output / "nima" / "configs" / "embedded.pbtxt").read_text()
    (line,) = (line for line in config.splitlines() if 'key: "precision"' in line)
    return line.split('"')[3], said


def test_bf16_is_taken_where_processor_and_engine_are_there(
    onnx_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "find_spec", lambda name: object())
    monkeypatch.setattr("iq_tools.repository.has_bf16", lambda: True)
    name, said = _written(monkeypatch, onnx_file, tmp_path, bf16=True, vnni=True)
    assert (name, said) == ("bf16", ["precision bf16: this processor computes in it"])


@pytest.mark.parametrize(
    ("bf16", "vnni", "reason"),
    [(False, False, "neither"), (True, False, "pip install openvino"), (False, True, "--calib")],
)
def test_f32_says_why(
    bf16: bool,
    vnni: bool,
    reason: str,
    onnx_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(precision, "find_spec", lambda name: None)
    name, (line,) = _written(monkeypatch, onnx_file, tmp_path, bf16=bf16, vnni=vnni)
    assert name == "f32"
    assert line.startswith("precision f32: ")
    assert reason in line


def test_int8_is_taken_where_the_order_is_kept_and_else_not(
    onnx_file: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for least, expected in ((0.9, "int8"), (1.01, "f32")):
        monkeypatch.setattr(precision, "MIN_SPEARMAN", least)
        output = tmp_path / expected
        name, said = _written(monkeypatch, onnx_file, output, vnni=True, calibration=photos)
        assert name == expected
        assert said[-1].startswith(f"precision {expected}: ")
        assert "Spearman" in said[0]
        assert (output / "nima_tower" / "1" / INT8_FILE).exists() == (expected == "int8")
