"""The ONNX graph that every runtime serves, made from a SavedModel."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from iq_serving.contract import (
    BATCH_DIMENSION,
    MASK,
    PIXELS,
    TOWER_FILE,
    TOWER_OUTPUTS,
    Tower,
)
from iq_tools.errors import GraphError, ScoresMovedError
from iq_tools.files import write_atomically
from iq_tools.graph.runner import OnnxTower
from iq_tools.graph.saved_model import ExportedTower, open_saved_model

OPSET: Final = 17
PARITY_TOLERANCE: Final = 1e-5

_PRODUCER: Final = "iq-tools"
# Two sizes, so that a batch dimension frozen into the graph is noticed.
_PARITY_BATCHES: Final = (1, 3)
_NHWC_TO_NCHW: Final = (0, 3, 1, 2)
_WRAPPER: Final = "StatefulPartitionedCall/"
_SCORED: Final = "unmasked"


def convert(saved_model: Path, output: Path, *, tolerance: float = PARITY_TOLERANCE) -> float:
    """Converts a SavedModel to ONNX and writes it where it computes the same.

    The graph takes `PIXELS` uint8 [batch,H,W,3] and `MASK` fp32 [batch,1] (1, or NaN for an image
    that could not be read) and returns `DISTRIBUTION`, `MEAN` and `STD`, each multiplied by the
    mask. Its metadata holds the tower's `tower.json`.

    Args:
        saved_model: What `siamese-nima export` wrote.
        output: The ONNX file to write.
        tolerance: Largest difference of any output from TensorFlow's, on random pixels.

    Returns:
        The largest difference that was seen.

    Raises:
        InputError: The folder is no exported tower.
        GraphError: The SavedModel is not the contract's.
        ScoresMovedError: The graph computes something else. Nothing is written in any case.
    """
    exported = open_saved_model(saved_model)
    graph = build_graph(exported)
    difference = largest_difference(exported, graph)
    if not difference <= tolerance:
        raise ScoresMovedError(
            f"the ONNX graph differs from {saved_model} by {difference:.3g}, more than "
            f"{tolerance:.3g}: {output} was not written. An operation of this tower is converted "
            f"differently; look for it before raising the tolerance."
        )
    write_atomically(output, graph.SerializeToString())
    return difference


def build_graph(exported: ExportedTower) -> onnx.ModelProto:
    """The contract's ONNX graph of an exported tower.

    Args:
        exported: The opened SavedModel.

    Returns:
        The checked graph.

    Raises:
        GraphError: The converted graph does not have the contract's tensors.
    """
    model = _convert_graph(exported)
    _name_tensors(model, exported.tower)
    _take_nhwc(model, exported.tower)
    _add_mask(model)
    model = _folded(model)
    _shorten_names(model.graph)
    del model.metadata_props[:]
    helper.set_model_props(model, {TOWER_FILE: exported.tower.text})
    used = {node.domain for node in model.graph.node}
    opsets = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    model.producer_name = _PRODUCER
    model.graph.name = exported.tower.name
    model.graph.doc_string = model.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    return model


def largest_difference(exported: ExportedTower, graph: onnx.ModelProto) -> float:
    """The largest |Δ| of any output between TensorFlow and the ONNX graph on random pixels."""
    generator = np.random.default_rng(0)
    runner = OnnxTower(graph.SerializeToString())
    largest = 0.0
    for size in _PARITY_BATCHES:
        pixels = generator.integers(
            0, 256, size=(size, *exported.tower.image_size, 3), dtype=np.uint8
        )
        expected = exported.score(pixels)
        found = runner.score(pixels)
        for name in TOWER_OUTPUTS:
            # NaN on either side must not pass as "no difference".
            difference = np.abs(expected[name] - found[name]).max()
            largest = max(largest, float(np.nan_to_num(difference, nan=np.inf)))
    return largest


def _convert_graph(exported: ExportedTower) -> onnx.ModelProto:
    import tensorflow as tf
    import tf2onnx

    specification = tf.TensorSpec((None, *exported.tower.image_size, 3), tf.uint8, name=PIXELS)

    def score(pixels: Any) -> Any:
        return exported.signature(**{PIXELS: pixels})

    model, _ = tf2onnx.convert.from_function(
        tf.function(score, input_signature=[specification]),
        input_signature=[specification],
        opset=OPSET,
        # Convolutions are NCHW in ONNX: fed that way the converter leaves no pair of Transposes.
        inputs_as_nchw=[f"{PIXELS}:0"],
    )
    return model  # type: ignore[no-any-return]


def _name_tensors(model: onnx.ModelProto, tower: Tower) -> None:
    """Gives inputs and outputs the contract's names, order and batch dimension."""
    graph = model.graph
    if len(graph.input) != 1:
        raise GraphError(
            f"the converted graph has the inputs {[value.name for value in graph.input]}, "
            f"not {PIXELS} alone"
        )
    found = {value.name.removesuffix(":0"): value for value in graph.output}
    missing = sorted(TOWER_OUTPUTS.keys() - found.keys())
    if missing:
        raise GraphError(f"the converted graph lacks {missing}; it has {sorted(found)}")
    _rename(graph, graph.input[0].name, PIXELS)
    for name in TOWER_OUTPUTS:
        _rename(graph, found[name].name, name)
    height, width = tower.image_size
    inputs = [_value(PIXELS, TensorProto.UINT8, 3, height, width)]
    outputs = [_value(name, TensorProto.FLOAT, size) for name, size in TOWER_OUTPUTS.items()]
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.extend(inputs)
    graph.output.extend(outputs)


def _take_nhwc(model: onnx.ModelProto, tower: Tower) -> None:
    """Makes the one Transpose of the graph follow the Cast of the bytes to floats.

    TensorRT takes bytes as input of a Cast only.
    """
    graph = model.graph
    readers = [node for node in graph.node if PIXELS in node.input]
    if [node.op_type for node in readers] != ["Cast"]:
        raise GraphError(
            f"{PIXELS} is read by {[node.op_type for node in readers]}; the exported function has "
            f"to begin with one cast of the bytes to float"
        )
    cast = readers[0]
    planes, interleaved = cast.output[0], f"{PIXELS}_nhwc"
    cast.output[0] = interleaved
    transpose = helper.make_node(
        "Transpose", [interleaved], [planes], name="to_nchw", perm=_NHWC_TO_NCHW
    )
    graph.node.insert(list(graph.node).index(cast) + 1, transpose)
    graph.input[0].CopyFrom(_value(PIXELS, TensorProto.UINT8, *tower.image_size, 3))


def _add_mask(model: onnx.ModelProto) -> None:
    """Multiplies every output by `MASK`."""
    graph = model.graph
    for name in TOWER_OUTPUTS:
        scored = f"{name}_{_SCORED}"
        _rename(graph, name, scored)
        graph.node.append(helper.make_node("Mul", [scored, MASK], [name], name=f"mask_{name}"))
    graph.input.append(_value(MASK, TensorProto.FLOAT, 1))


def _folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Folds what is constant, such as the batch normalisation behind a depthwise convolution.

    ONNX Runtime's basic optimisations keep to standard operators, so the graph stays every
    runtime's.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        folded = onnx.load(path)
    foreign = sorted({node.op_type for node in folded.graph.node if node.domain})
    if foreign:
        raise GraphError(f"folding left operators that other runtimes lack: {foreign}")
    return folded


def _shorten_names(graph: onnx.GraphProto) -> None:
    """Drops the wrapping functions' names, so that reports name layers as the tower does."""
    names = {name for node in graph.node for name in (*node.input, *node.output)}
    short = {name: name.replace(_WRAPPER, "") for name in names}
    if len(set(short.values())) < len(short):
        return  # two wrapped functions use the same names
    for node in graph.node:
        node.name = node.name.replace(_WRAPPER, "")
        for values in (node.input, node.output):
            for index, name in enumerate(values):
                values[index] = short[name]
    for constant in graph.initializer:
        constant.name = short[constant.name]
    del graph.value_info[:]


def _value(name: str, datatype: int, *dims: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, datatype, (BATCH_DIMENSION, *dims))


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        _replace(node.input, old, new)
        _replace(node.output, old, new)


def _replace(names: Any, old: str, new: str) -> None:
    for index, name in enumerate(names):
        if name == old:
            names[index] = new
