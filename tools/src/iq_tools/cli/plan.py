"""`iq-tools plan`: a TensorRT plan, by itself or in its place in a model repository."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Final

import click

from iq_serving.contract import ENSEMBLE_MODEL, MAX_BATCH_SIZE, PLAN_FILE
from iq_tools.cli.options import FILE, FOLDER, NEW_FILE, builder_option, report
from iq_tools.tensorrt.plan import REPORT_SUFFIX, PlanOptions

_DEFAULTS: Final = PlanOptions()
# Triton loads a version-compatible plan, which brings code of its own, only where it is told to.
_RUN_OTHER_VERSIONS: Final = "--backend-config=tensorrt,version-compatible=true"


@click.command()
@click.option(
    "--repository",
    type=FOLDER,
    help="Model repository whose graph to build from, and into which the plan goes.",
)
@click.option(
    "--name", default=ENSEMBLE_MODEL, show_default=True, help="Of the repository's ensemble."
)
@click.option(
    "--onnx", "onnx_file", type=FILE, help="The tower's graph, where the plan goes elsewhere."
)
@click.option("-o", "--output", type=NEW_FILE, help=f"With --onnx; default: {PLAN_FILE}")
@click.option("--photos", type=FOLDER, required=True, help="Photos that the gate compares on.")
@builder_option
@click.option("--min-batch", default=_DEFAULTS.min_batch, show_default=True)
@click.option("--opt-batch", default=_DEFAULTS.opt_batch, show_default=True)
@click.option("--max-batch", default=_DEFAULTS.max_batch, show_default=True)
@click.option("--workspace-mib", default=_DEFAULTS.workspace_mib, show_default=True)
@click.option("--version-compatible", is_flag=True, help="Load on later minor versions as well.")
@click.option("--hardware-compatible", is_flag=True, help="Load on other GPUs, Ampere or later.")
@click.option("--timing-cache", type=NEW_FILE, help="Keeps measured kernels between builds.")
def plan(
    repository: Path | None,
    name: str,
    onnx_file: Path | None,
    output: Path | None,
    photos: Path,
    builder: str | None,
    **options: Any,
) -> None:
    """Build an FP16 TensorRT plan; refuse where its scores move.

    With --repository the plan is put where Triton looks for it, whole or not at all, and the
    command that serves it is shown.
    """
    if (repository is None) == (onnx_file is None) or (repository and output):
        raise click.UsageError("give either --repository, or --onnx and perhaps --output")
    from iq_tools.graph.tower import graph_of
    from iq_tools.tensorrt.builders import find_builder
    from iq_tools.tensorrt.make import make_plan
    from iq_tools.tensorrt.placement import plan_path

    chosen = PlanOptions(**options)
    if repository is not None:
        if chosen.min_batch > 1 or chosen.max_batch < MAX_BATCH_SIZE:
            raise click.UsageError(f"a repository's plan has to take batches of 1…{MAX_BATCH_SIZE}")
        onnx_file, output = graph_of(repository, name), plan_path(repository, name)
    assert onnx_file is not None
    output = output or Path(PLAN_FILE)
    drift = make_plan(
        onnx_file,
        output,
        photos,
        chosen,
        builder=find_builder(builder),
        report=report,
    )
    for stage, value in drift.items():
        seen = "not compared: no GPU here" if value is None else f"moves the mean by {value:.2g}"
        click.echo(f"{stage}: {seen}")
    click.echo(f"{output} and {output.with_suffix(REPORT_SUFFIX)}")
    if repository is not None:
        _say_how_to_start(repository, name, chosen)


def _say_how_to_start(repository: Path, name: str, options: PlanOptions) -> None:
    from iq_tools.serve import triton_command
    from iq_tools.tensorrt.gpu import gpu_decoding_problem
    from iq_tools.tensorrt.placement import CONFIG_NAME, gpu_preprocessing

    arguments = [_RUN_OTHER_VERSIONS] if options.version_compatible else []
    click.echo(f"start with: {shlex.join(triton_command(repository, CONFIG_NAME, arguments))}")
    problem = gpu_decoding_problem(repository, name)
    if problem:
        click.echo(
            f"This configuration decodes photos on the GPU, which this machine cannot ({problem}). "
            f"Without {gpu_preprocessing(repository, name)} the host decodes them.",
            err=True,
        )
