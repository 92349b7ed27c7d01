from __future__ import annotations

import errno
import json
import re
from pathlib import Path
from typing import cast

import pytest

from iq_tools.errors import GpuError, InputError
from iq_tools.tensorrt.plan import (
    Builder,
    Plan,
    PlanOptions,
    Precision,
    count_engine_layers,
    write_plan,
)


class _Builder:
    name = "builder"
    version = "1.2.3"


def test_a_report_never_tells_of_another_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, report = tmp_path / "model.plan", tmp_path / "model.json"

    def write(data: bytes, onnx_sha256: str) -> None:
        write_plan(
            Plan(data, Precision(None, None)), output, onnx_sha256=onnx_sha256,
            options=PlanOptions(), builder=cast(Builder, _Builder()), drift={},
        )  # fmt: skip

    write(b"first", "1")
    assert json.loads(report.read_text())["onnx_sha256"] == "1"
    monkeypatch.setattr("os.fsync", _no_room)
    with pytest.raises(OSError, match="no room"):
        write(b"second", "2")
    assert output.read_bytes() == b"first"
    assert not report.exists()


def _no_room(handle: int) -> None:
    raise OSError(errno.ENOSPC, "no room")


@pytest.mark.parametrize("batches", [(0, 1, 2), (2, 1, 3), (1, 9, 8)])
def test_batches_have_to_ascend(batches: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="ascending"):
        PlanOptions(*batches)


def _layer(kind: str, datatype: str, weights: str | None = None) -> dict[str, object]:
    tensor = {"Format/Datatype": datatype}
    layer: dict[str, object] = {"LayerType": kind, "Inputs": [tensor], "Outputs": [tensor]}
    return layer | ({"Weights": {"Type": weights, "Count": 9}} if weights else {})


DYNAMIC = "N/A due to dynamic shapes"


@pytest.mark.parametrize(
    ("layers", "counts"),
    [
        (
            [_layer("CaskConvolution", "Half NHWC8")] * 2 + [_layer("SoftMax", "Float NCHW")],
            {"CaskConvolution half": 2, "SoftMax float": 1},
        ),
        (
            [
                _layer("CaskConvolution", DYNAMIC, "Half"),
                _layer("CaskGemmMatrixMultiply", DYNAMIC, "Half"),
                _layer("Reformat", DYNAMIC),
            ],
            {"CaskConvolution half": 1, "CaskGemmMatrixMultiply half": 1, "Reformat unknown": 1},
        ),
        ([_layer("gemm", "Row major linear FP16 format")], {"gemm half": 1}),
        # The last product of a tower may write FP32: what it reads is what it computes in.
        (
            [{"LayerType": "gemm", "Inputs": [{"Format/Datatype": "Half"}],
              "Outputs": [{"Format/Datatype": "Float"}]}],
            {"gemm half": 1},
        ),
    ],
)  # fmt: skip
def test_an_engines_layers_are_counted_by_precision(
    layers: list[dict[str, object]], counts: dict[str, int]
) -> None:
    assert count_engine_layers({"Layers": layers}) == counts


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ([_layer("CaskConvolution", "Float NCHW")], "not FP16 where it costs time"),
        (
            [
                _layer("CaskConvolution", DYNAMIC, "Half"),
                _layer("CaskConvolution", DYNAMIC, "Float"),
            ],
            "not FP16 where it costs time: {'CaskConvolution float': 1}",
        ),
        ([_layer("CaskConvolution", DYNAMIC)], "no layer of the engine computes in FP16"),
        ([], "no layer of the engine"),
        (["conv1 + relu1"], "built without detailed profiling"),
    ],
)
def test_an_engine_that_is_not_proven_fp16_is_refused(layers: list[object], reason: str) -> None:
    with pytest.raises(GpuError, match=re.escape(reason)):
        count_engine_layers({"Layers": layers})
