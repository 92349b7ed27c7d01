"""A plan that may be served, made from a tower's graph: FP16, build, comparison, file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from iq_tools.graph.fp16 import to_fp16
from iq_tools.graph.parity import mean_drift, require_parity
from iq_tools.graph.runner import OnnxTower
from iq_tools.graph.tower import open_tower
from iq_tools.photos import read_photos
from iq_tools.tensorrt.gpu import describe_gpu
from iq_tools.tensorrt.plan import Builder, PlanOptions, write_plan


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
        options: Options of the build.
        builder: The way to TensorRT.
        report: Receives a line for every phase of the build.

    Returns:
        max |Δ mean| against the ONNX graph of the FP16 graph and of the plan on the GPU; None
        for the plan where there is no GPU to run it.

    Raises:
        InputError: There is no such file, or a photo cannot be read.
        GraphError: The file is no graph of a tower.
        GpuError: TensorRT refuses the graph, or would not compute in FP16.
        ScoresMovedError: Scores moved too far. Nothing is written in any case.
    """
    source = open_tower(onnx_file)
    pixels = read_photos(photos, source.tower)
    reference = OnnxTower(source.data)
    graph = to_fp16(source.model).SerializeToString()
    graph_drift = mean_drift(reference, OnnxTower(graph), pixels)
    require_parity(graph_drift, what="FP16")
    plan = builder.build(graph, source.tower, options, report)
    plan_drift = None
    if describe_gpu() is not None:
        plan_drift = mean_drift(reference, builder.runner(plan.data), pixels)
        require_parity(plan_drift, what="the plan")
    drift = {"fp16_graph": graph_drift, "plan": plan_drift}
    write_plan(
        plan, output, onnx_sha256=source.sha256, options=options, builder=builder, drift=drift
    )
    return drift
