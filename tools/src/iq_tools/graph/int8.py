"""INT8 inside a tower's graph, where the order of photos survives it.

Weights and activations between the first convolutions and the head become 8-bit integers with
scales taken from real photos (static quantisation, one scale per channel of a weight). The first
convolutions, as many as the order of photos asks for, the head, softmax and moments stay f32.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx

from iq_serving.contract import MASK, MEAN, PIXELS
from iq_tools.errors import GraphError, InputError, ScoresMovedError
from iq_tools.graph.runner import OnnxTower

METHODS: Final = ("MinMax", "Percentile", "Entropy")
# Below this rank correlation with f32, close photos change places.
MIN_SPEARMAN: Final = 0.99
# Half of the photos give the scales, half are held out; a rank correlation of fewer says little.
MIN_PHOTOS: Final = 80
# The convolutions at the start of the graph that stay f32: one, and more where the order wants it.
_KEPT_SHARES: Final = (0.0, 0.125, 0.25)
# More photos than these change the scales no more.
_MAX_CALIBRATION: Final = 96

_QUANTIZED: Final = ("Conv", "Add", "Concat", "MaxPool", "AveragePool", "Clip", "Relu")
_BATCH: Final = 8

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of a quantised tower's scores of held-out photos with f32.

    Attributes:
        method: The search for the scales, one of `METHODS`.
        kept: Convolutions at the start that stayed f32.
        spearman: Rank correlation of the mean scores, in -1…1.
        mean_shift: Average |Δ mean|, in votes.
        max_shift: Largest |Δ mean|, in votes.
    """

    method: str
    kept: int
    spearman: float
    mean_shift: float
    max_shift: float

    def __str__(self) -> str:
        return (
            f"{self.method}, {self.kept} f32 at the start: Spearman {self.spearman:.4f}, "
            f"mean scores move by {self.mean_shift:.3f} on average, {self.max_shift:.3f} at most"
        )


def quantize(
    onnx_file: Path,
    pixels: npt.NDArray[np.uint8],
    *,
    min_spearman: float = MIN_SPEARMAN,
    report: Callable[[str], None] = lambda line: None,
) -> bytes:
    """Makes the INT8 graph that orders held-out photos most like f32 does.

    Args:
        onnx_file: The tower, as `iq-tools onnx` writes it.
        pixels: Photos as the tower sees them, uint8 [N,H,W,3]. Every second one gives the scales,
            the others are held out.
        min_spearman: The rank correlation with f32 that is asked for.
        report: Receives a line for each method.

    Returns:
        The serialised graph.

    Raises:
        InputError: There are too few photos.
        GraphError: The graph has no convolutions before a head.
        ScoresMovedError: No method keeps the order; the message has the figures.
    """
    if len(pixels) < MIN_PHOTOS:
        raise InputError(
            f"{len(pixels)} photos are too few to calibrate on and to hold out: give "
            f"{MIN_PHOTOS} or more"
        )
    calibration, held_out = pixels[0::2][:_MAX_CALIBRATION], pixels[1::2]
    expected = _means(OnnxTower(onnx_file), held_out)
    with tempfile.TemporaryDirectory() as name:
        prepared = Path(name, "prepared.onnx")
        _prepare(onnx_file, prepared)
        model = onnx.load(prepared)
        convolutions = sum(node.op_type == "Conv" for node in model.graph.node)
        tried: list[Agreement] = []
        for kept in dict.fromkeys(max(int(share * convolutions), 1) for share in _KEPT_SHARES):
            candidates: list[tuple[Agreement, bytes]] = []
            for method in METHODS:
                graph = _quantize(prepared, _body(model, kept), calibration, method)
                found = agreement(method, kept, expected, _means(OnnxTower(graph), held_out))
                report(str(found))
                tried.append(found)
                candidates.append((found, graph))
            best, graph = max(candidates, key=lambda candidate: candidate[0].spearman)
            if best.spearman >= min_spearman:
                report(f"taken: {best}")
                return _described(graph, onnx_file)
    figures = "; ".join(map(str, tried))
    raise ScoresMovedError(
        f"INT8 changes the order of {len(held_out)} held-out photos (wanted: Spearman "
        f"{min_spearman} with f32; {figures}): not written. Serve this tower in f32"
    )


def agreement(method: str, kept: int, expected: Array, found: Array) -> Agreement:
    """Compares mean scores.

    Args:
        method: The search for the scales.
        kept: Convolutions at the start that stayed f32.
        expected: Of f32, fp32 [N].
        found: Of INT8, fp32 [N].

    Returns:
        The agreement; its correlation is NaN where either is constant or not a number.
    """
    shift = np.abs(found - expected)
    return Agreement(
        method, kept, spearman(expected, found), float(shift.mean()), float(shift.max())
    )


def spearman(a: Array, b: Array) -> float:
    """Rank correlation of two vectors [N], in -1…1; equal values share their rank.

    NaN where a vector is constant or has a NaN.
    """
    if np.isnan(a).any() or np.isnan(b).any() or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: Array) -> npt.NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: npt.NDArray[np.float64] = (last - (counts - 1) / 2)[inverse]
    return ranks


def _means(tower: OnnxTower, pixels: npt.NDArray[np.uint8]) -> Array:
    parts = [
        tower.score(pixels[start : start + _BATCH])[MEAN][:, 0]
        for start in range(0, len(pixels), _BATCH)
    ]
    return np.concatenate(parts)


def _prepare(onnx_file: Path, output: Path) -> None:
    """Infers shapes and folds what can be folded."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(str(onnx_file), str(output), skip_symbolic_shape=True)


def _quantize(
    prepared: Path, nodes: list[str], pixels: npt.NDArray[np.uint8], method: str
) -> bytes:
    from onnxruntime import quantization

    output = prepared.with_name("int8.onnx")
    static = _silently(quantization.quantize_static)
    static(
        str(prepared),
        str(output),
        _reader(pixels),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        # Seven bits of weight: processors without VNNI add two products in 16 bits, which eight
        # would overflow. So all processors score alike.
        reduce_range=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        op_types_to_quantize=list(_QUANTIZED),
        nodes_to_quantize=nodes,
        calibrate_method=quantization.CalibrationMethod[method],
        # One photo at a time: what all nodes give out for all photos fills the memory.
        extra_options={"CalibTensorRangeSymmetric": False, "CalibStridedMinMax": 1},
    )
    return output.read_bytes()


def _silently(function: Callable[..., None]) -> Callable[..., None]:
    """The function without what it prints and logs about its histograms."""

    def call(*arguments: Any, **options: Any) -> None:
        level = logging.getLogger().level
        logging.getLogger().setLevel(logging.ERROR)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                function(*arguments, **options)
        finally:
            logging.getLogger().setLevel(level)

    return call


def _described(graph: bytes, onnx_file: Path) -> bytes:
    """The graph with what the original says of the tower."""
    model = onnx.load_from_string(graph)
    del model.metadata_props[:]
    model.metadata_props.extend(onnx.load(onnx_file).metadata_props)
    data: bytes = model.SerializeToString()
    return data


def _body(model: onnx.ModelProto, kept: int) -> list[str]:
    """The names of the nodes between the first convolutions and the head."""
    nodes = list(model.graph.node)
    convolutions = [index for index, node in enumerate(nodes) if node.op_type == "Conv"]
    heads = [index for index, node in enumerate(nodes) if node.op_type in ("Gemm", "MatMul")]
    if len(convolutions) <= kept or not heads or heads[-1] < convolutions[kept]:
        raise GraphError("the graph has no convolutions before a head: it stays f32")
    last = convolutions[kept - 1]
    names = [
        node.name
        for node in nodes[last + 1 : heads[-1]]
        # Without what clips the last convolution's result.
        if node.op_type in _QUANTIZED and nodes[last].output[0] not in node.input
    ]
    if not all(names):
        raise GraphError("the graph has nodes without names; write it with: iq-tools onnx")
    return names


def _reader(pixels: npt.NDArray[np.uint8]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Photos(CalibrationDataReader):  # type: ignore[misc]
        """Feeds photos one by one."""

        def __init__(self) -> None:
            self._rest: Iterator[npt.NDArray[np.uint8]] = iter(pixels)

        def __len__(self) -> int:
            return len(pixels)

        def set_range(self, start_index: int, end_index: int) -> None:
            self._rest = iter(pixels[start_index:end_index])

        def get_next(self) -> dict[str, Any] | None:
            photo = next(self._rest, None)
            if photo is None:
                return None
            return {PIXELS: photo[np.newaxis], MASK: np.ones((1, 1), np.float32)}

    return Photos()
