"""A tower small enough to be made, exported and converted in a second, and fakes of programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

SIZE = (24, 32)  # not square: a swapped height and width is noticed
DESCRIPTION = {
    "tower": "tiny",
    "image_size": list(SIZE),
    "interpolation": "bilinear",
    "preprocessing_version": 1,
}


def _save_tiny_tower(folder: Path, *, mean_name: str = "MEAN") -> None:
    """Writes a SavedModel of the contract's signature with fixed random weights."""
    import tensorflow as tf

    class Tiny(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            generator = tf.random.Generator.from_seed(1)
            self.kernel = tf.Variable(generator.normal((3, 3, 3, 8)) * 0.3)
            self.depthwise = tf.Variable(generator.normal((3, 3, 8, 1)) * 0.3)
            self.scale = tf.Variable(generator.uniform((8,), 0.5, 1.5))
            self.shift = tf.Variable(generator.normal((8,)) * 0.1)
            self.dense = tf.Variable(generator.normal((8, 10)))

        @tf.function(input_signature=[tf.TensorSpec((None, *SIZE, 3), tf.uint8, name="PIXELS")])  # type: ignore[untyped-decorator]
        def score(self, PIXELS: Any) -> dict[str, Any]:  # noqa: N803 - the contract's name
            x = (tf.cast(PIXELS, tf.float32) - 127.0) / 128.0
            x = tf.nn.relu6(tf.nn.conv2d(x, self.kernel, 2, "SAME"))
            x = tf.nn.depthwise_conv2d(x, self.depthwise, (1, 2, 2, 1), "SAME")
            # Batch normalisation in inference, the constant that a converter leaves behind.
            x = tf.nn.relu6(x * self.scale + self.shift)
            p = tf.nn.softmax(tf.reduce_mean(x, (1, 2)) @ self.dense)
            votes = tf.range(1.0, 11.0)
            mean = tf.reduce_sum(p * votes, 1, keepdims=True)
            std = tf.sqrt(tf.reduce_sum(p * (votes - mean) ** 2, 1, keepdims=True))
            return {"DISTRIBUTION": p, mean_name: mean, "STD": std}

    tower = Tiny()
    tf.saved_model.save(tower, str(folder), signatures={"serving_default": tower.score})
    extra = folder / "assets.extra"
    extra.mkdir(exist_ok=True)
    (extra / "tower.json").write_text(json.dumps(DESCRIPTION))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a graph are slow: it takes TensorFlow to make it."""
    for item in items:
        if {"save_tower", "saved_model"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def description() -> dict[str, Any]:
    """The keys of the tiny tower's tower.json."""
    return dict(DESCRIPTION)


@pytest.fixture
def save_tower() -> Callable[..., None]:
    return _save_tiny_tower


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "saved_model"
    _save_tiny_tower(folder)
    return folder


@pytest.fixture(scope="session")
def onnx_file(saved_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from iq_tools.graph.convert import convert

    output = tmp_path_factory.mktemp("onnx") / "model.onnx"
    convert(saved_model, output)
    return output


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three pictures."""
    folder = tmp_path / "photos"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(3):
        pixels = generator.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Puts a shell script under a name in front of the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def put(name: str, script: str) -> None:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return put


@pytest.fixture
def gpu(program: Program) -> None:
    """An nvidia-smi that shows one GPU."""
    program("nvidia-smi", "echo 'NVIDIA L4, 8.9, 590.10'")


@pytest.fixture
def fake_trtexec() -> str:
    """The command line of a trtexec without TensorRT."""
    return f"{sys.executable} {Path(__file__).with_name('fake_trtexec.py')}"


@pytest.fixture
def trtexec(program: Program, fake_trtexec: str) -> None:
    """A trtexec on the PATH that needs neither TensorRT nor a GPU."""
    program("trtexec", f'exec {fake_trtexec} "$@"')
