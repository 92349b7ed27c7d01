"""The whole way from a tower's graph to a plan that may be served."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx

from iq_tools.fp16 import to_fp16
from iq_tools.onnx_export import read_tower
from iq_tools.onnx_runner import OnnxTower
from iq_tools.parity import mean_drift, require_parity
from iq_tools.photos import read_photos
from iq_tools.plan import Builder, PlanOptions, describe_gpu, write_plan


def make_plan(
    onnx_file: Path,
    output: Path,
    photos: Path,
    options: PlanOptions,
    *,
    builder: Builder,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, float | None]:
    """Converts to FP16, builds, compares, and writes the plan where all agree.

    Args:
        onnx_file: The tower, as `iq-tools onnx` writes it.
        output: The plan; its report is the same name with `.json`.
        photos: Folder of photos to compare scores on.
        options: How to build.
        builder: The way to TensorRT.
        report: Receives a line for every phase of the build.

    Returns:
        max |Δ mean| against the ONNX graph of the FP16 graph and of the plan on the GPU; None
        for the plan where there is no GPU to run it.

    Raises:
        ContractError: A graph that the builder refuses, a precision that is not FP16, or scores
            that moved too far; nothing is written then.
    """
    tower = read_tower(onnx_file)
    pixels = read_photos(photos, tower)
    reference = OnnxTower(onnx_file)
    graph = to_fp16(onnx.load(onnx_file)).SerializeToString()
    graph_drift = mean_drift(reference, OnnxTower(graph), pixels)
    require_parity(graph_drift, what="FP16")
    plan = builder.build(graph, tower, options, report)
    plan_drift = None
    if describe_gpu() is not None:
        plan_drift = mean_drift(reference, builder.runner(plan.data), pixels)
        require_parity(plan_drift, what="the plan")
    drift = {"fp16_graph": graph_drift, "plan": plan_drift}
    write_plan(plan, output, onnx_file=onnx_file, options=options, builder=builder, drift=drift)
    return drift
