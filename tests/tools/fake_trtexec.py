"""Takes the options that we give trtexec; its "engine" is the graph, run by ONNX Runtime."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

ENGINE = b"fake engine\n"


def main(arguments: list[str]) -> int:
    print("&&&& RUNNING TensorRT.trtexec [TensorRT v101301] # trtexec", *arguments)
    if arguments == ["--help"]:
        return 0
    options: dict[str, Any] = dict(
        argument.removeprefix("--").partition("=")[::2] for argument in arguments
    )
    if "saveEngine" in options:
        return build(options)
    return run(options)


def build(options: dict[str, str]) -> int:
    if os.environ.get("FAKE_TRTEXEC_FAILS"):
        print("[E] Error[4]: no kernel for this node")
        return 1
    builds = os.environ.get("FAKE_TRTEXEC_BUILDS")
    if builds:
        time.sleep(0.3)  # long enough for a second replica to come in between
        with Path(builds).open("a") as file:
            file.write("build\n")
    wanted = {"onnx", "stronglyTyped", "minShapes", "optShapes", "maxShapes", "exportLayerInfo"}
    assert wanted <= options.keys(), options
    Path(options["saveEngine"]).write_bytes(ENGINE + Path(options["onnx"]).read_bytes())
    # What is told of an engine with a dynamic batch.
    tensor = {"Format/Datatype": "N/A due to dynamic shapes"}
    layer = {
        "LayerType": "CaskConvolution",
        "Inputs": [tensor],
        "Outputs": [tensor],
        "Weights": {"Type": "Half", "Count": 864},
    }
    Path(options["exportLayerInfo"]).write_text(json.dumps({"Layers": [layer], "Bindings": []}))
    return 0


def run(options: dict[str, str]) -> int:
    engine = Path(options["loadEngine"]).read_bytes()
    session = onnxruntime.InferenceSession(
        engine.removeprefix(ENGINE), providers=["CPUExecutionProvider"]
    )
    shapes = dict(pair.split(":") for pair in options["shapes"].split(","))
    files = dict(pair.split(":") for pair in options["loadInputs"].split(","))
    inputs = {
        name: np.fromfile(file, np.uint8 if name == "PIXELS" else np.float32).reshape(
            [int(side) for side in shapes[name].split("x")]
        )
        for name, file in files.items()
    }
    if "exportOutput" not in options:
        print("[I] Throughput: 12.5 qps")
        return 0
    names = [output.name for output in session.get_outputs()]
    shift = float(os.environ.get("FAKE_TRTEXEC_SHIFT", "0"))
    values = [
        {
            "name": name,
            "dimensions": "x".join(map(str, array.shape)),
            "values": (array + shift).reshape(-1).tolist(),
        }
        for name, array in zip(names, session.run(names, inputs), strict=True)
    ]
    Path(options["exportOutput"]).write_text(json.dumps(values))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
