"""The seed's tower, InceptionResNetV2, in TensorFlow and in the engines that serve it.

    python benchmarks/engines.py [--onnx FILE] [--rounds 5]

Weights do not change the time, so random ones do. All engines compute in f32 on all cores; bf16 is
measured as well where the processor has it. `--onnx` takes a graph that is there already; without
it the tower is exported and converted, which takes some minutes.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from measure import in_turns, machine, ratio, table, versions

from iq_serving.contract import MASK, ONNX_FILE, PIXELS, TOWER_MODEL, VERSION
from iq_serving.machine import has_bf16, usable_cores

TOWER = "inception_resnet_v2"
PACKAGES = ("tensorflow-cpu", "keras", "onnxruntime", "openvino")
TENSORFLOW = "TensorFlow, Keras' predict, f32"
Run = Callable[[], object]
Feed = dict[str, npt.NDArray[Any]]


def convert(folder: Path) -> Path:
    """A graph of the tower with random weights."""
    from iq_tools.build import build_repository
    from siamese_nima.export import export_saved_model
    from siamese_nima.towers.registry import build_tower, get_tower

    tower = get_tower(TOWER)
    saved_model = folder / "saved_model"
    export_saved_model(tower, build_tower(tower), saved_model, interpolation="nearest")
    build_repository(saved_model, folder / "repository")
    return folder / "repository" / TOWER_MODEL / VERSION / ONNX_FILE


def tensorflow_run(pixels: npt.NDArray[np.uint8]) -> Run:
    """Keras' `predict` as the seed calls it, for a whole batch."""
    import keras

    from siamese_nima.towers.registry import build_tower, get_tower

    model = build_tower(get_tower(TOWER))
    normalised = keras.applications.inception_resnet_v2.preprocess_input(pixels.astype(np.float32))
    return lambda: model.predict(normalised, batch_size=len(pixels), verbose=0)


def onnxruntime_run(graph: Path, feed: Feed) -> Run:
    """ONNX Runtime on all cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feed)


def openvino_run(graph: Path, feed: Feed, precision: str) -> Run:
    """OpenVINO on all cores, in a precision that is stated."""
    import openvino

    model = openvino.Core().compile_model(
        graph,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": usable_cores(),
            "PERFORMANCE_HINT": "LATENCY",
        },
    )
    request = model.create_infer_request()
    return lambda: request.infer(feed, share_inputs=True)


def measure(graph: Path, *, rounds: int, batches: tuple[int, ...] = (1, 8)) -> str:
    """Runs the engines in turns; returns a Markdown section."""
    rows = []
    for batch in batches:
        random = np.random.default_rng(0)
        pixels = random.integers(0, 256, (batch, 224, 224, 3), dtype=np.uint8)
        feed: Feed = {PIXELS: pixels, MASK: np.ones((batch, 1), np.float32)}
        runs = {
            TENSORFLOW: tensorflow_run(pixels),
            "ONNX Runtime, f32": onnxruntime_run(graph, feed),
            "OpenVINO, f32": openvino_run(graph, feed, "f32"),
        }
        if has_bf16():
            runs["OpenVINO, bf16"] = openvino_run(graph, feed, "bf16")
        results = in_turns({name: (run, batch) for name, run in runs.items()}, rounds)
        rows += [
            (
                name,
                str(batch),
                f"{result.milliseconds:.1f}",
                f"{ratio(results[TENSORFLOW], result):.2f}x",
            )
            for name, result in results.items()
        ]
    text = table(("engine", "batch", "ms per image", "quicker"), rows)
    if not has_bf16():
        text += (
            "\nbf16 was not measured: this processor has neither AVX512-BF16 nor AMX "
            "(wanted: 1.8x where it has).\n"
        )
    return text


def main() -> None:
    """Reads the command line, measures and prints."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--onnx", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(f"# {' '.join(sys.argv)}\n# {machine()}\n# {versions(*PACKAGES)}\n")
    with tempfile.TemporaryDirectory() as folder:
        print(measure(arguments.onnx or convert(Path(folder)), rounds=arguments.rounds))


if __name__ == "__main__":
    main()
