"""The command `iq-tools`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from iq_serving.contract import F32, INTERPOLATIONS, PRECISIONS, ContractError
from iq_tools.files import write_atomically
from iq_tools.perf import MODELS
from iq_tools.plan import PlanOptions
from iq_tools.serve import RUNTIMES, prepare, start

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEW_FILE = click.Path(dir_okay=False, path_type=Path)
_PLAN = PlanOptions()
_NEW_FOLDER = click.Path(file_okay=False, path_type=Path)


class _Commands(click.Group):
    """Shows what a person can mend as a message, not as a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ContractError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands)
def main() -> None:
    """From a trained tower to a Triton model repository."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's greetings are no result


@main.command("onnx")
@click.argument("saved_model", type=_FOLDER)
@click.option("-o", "--output", type=_NEW_FILE, default=Path("model.onnx"), show_default=True)
def onnx_command(saved_model: Path, output: Path) -> None:
    """Convert SAVED_MODEL to ONNX; refuse where it computes something else."""
    from iq_tools.onnx_export import convert

    difference = convert(saved_model, output)
    click.echo(f"{output}: largest difference from the SavedModel {difference:.2g}")


def _precision_options(command: Callable[..., None]) -> Callable[..., None]:
    """What the tower computes in on a CPU."""
    precision = click.option(
        "--precision",
        type=click.Choice(list(PRECISIONS)),
        default=F32,
        show_default=True,
        help="Of the tower on a CPU, in the configuration `embedded`.",
    )
    calibration = click.option(
        "--calibration",
        type=_FOLDER,
        help="Real photos, of which int8 takes its scales and holds out half to compare with f32.",
    )
    return precision(calibration(command))


@main.command("repository")
@click.option("--onnx", "onnx_file", type=_FILE, required=True, help="The tower's graph.")
@click.option("--output", type=_NEW_FOLDER, default=Path("model_repository"), show_default=True)
@_precision_options
def repository_command(
    onnx_file: Path,
    output: Path,
    precision: str,
    calibration: Path | None,
) -> None:
    """Lay a tower into a Triton model repository."""
    from iq_tools.repository import CpuPrecision, write_repository

    for path in write_repository(
        onnx_file,
        output,
        precision=CpuPrecision(precision, calibration),
        report=lambda line: click.echo(line, err=True),
    ):
        click.echo(output / path)


@main.command("build")
@click.option(
    "--tower", help="Name in the registry of siamese-nima; default: what is known of the weights."
)
@click.option(
    "--weights", required=True, help="A weight file that fits it, or a name that was fetched."
)
@click.option("--output", type=_NEW_FOLDER, default=Path("model_repository"), show_default=True)
@click.option(
    "--interpolation",
    type=click.Choice(INTERPOLATIONS),
    help="How the server resizes; default: what is known of the weights, else bilinear. Towers "
    "trained with Keras' load_img want nearest.",
)
@_precision_options
def build_command(
    tower: str | None,
    weights: str,
    output: Path,
    interpolation: str | None,
    precision: str,
    calibration: Path | None,
) -> None:
    """Make a model repository from a tower's weights in one step."""
    from iq_tools.build import build_repository
    from iq_tools.repository import CpuPrecision

    for path in build_repository(
        tower,
        weights,
        output,
        interpolation=interpolation,
        precision=CpuPrecision(precision, calibration),
        report=lambda line: click.echo(line, err=True),
    ):
        click.echo(output / path)


@contextmanager
def _bytes_bar(label: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar that appears with the first bytes."""
    with ExitStack() as stack:
        bars: list[ProgressBar[int]] = []

        def show(done: int, total: int | None) -> None:
            if not bars:
                bar = click.progressbar(length=total or 0, label=label, file=sys.stderr)
                bars.append(stack.enter_context(bar))
            bars[0].update(done - bars[0].pos)

        yield show


@main.group("weights")
def weights_group() -> None:
    """Published weights, downloaded once into the user's cache folder."""


@weights_group.command("fetch")
@click.argument("name")
@click.option("--sha256", help="The sum the file has to have; default: the one that is known.")
@click.option("--output", type=_NEW_FILE, help="Where to; default: the cache folder.")
def fetch_command(name: str, sha256: str | None, output: Path | None) -> None:
    """Download NAME, one of `iq-tools weights list` or an https address of an HDF5 file."""
    from iq_tools.download import DownloadError
    from iq_tools.weights import fetch, find_source

    try:
        source, path = find_source(name)
        with _bytes_bar(name) as show:
            fetched = fetch(source, output or path, sha256=sha256, progress=show)
    except DownloadError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error
    except KeyboardInterrupt:
        click.echo("stopped; the same command goes on from here", err=True)
        raise SystemExit(130) from None
    known = "as it should be" if fetched.pinned else "no sum is known for it: compare it yourself"
    click.echo(fetched.path)
    click.echo(f"sha256 {fetched.sha256}, {known}", err=True)


@weights_group.command("list")
def list_command() -> None:
    """Show the names, whose weights they are, and which are in the cache folder."""
    from iq_tools.weights import SOURCES, find_source

    for name, source in SOURCES.items():
        path = find_source(name)[1]
        where = path if path.exists() else source.url
        click.echo(f"{name:28}  {source.tower:20}  {where}")


@main.command("plan")
@click.option("--onnx", "onnx_file", type=_FILE, required=True, help="The tower's graph.")
@click.option("-o", "--output", type=_NEW_FILE, default=Path("model.plan"), show_default=True)
@click.option("--photos", type=_FOLDER, required=True, help="Photos that the gate compares on.")
@click.option(
    "--builder", help="tensorrt, trtexec or tensorrt_rtx; default: the first that is there"
)
@click.option("--min-batch", default=_PLAN.min_batch, show_default=True)
@click.option("--opt-batch", default=_PLAN.opt_batch, show_default=True)
@click.option("--max-batch", default=_PLAN.max_batch, show_default=True)
@click.option("--workspace-mib", default=_PLAN.workspace_mib, show_default=True)
@click.option("--version-compatible", is_flag=True, help="Load on later minor versions as well.")
@click.option("--hardware-compatible", is_flag=True, help="Load on other GPUs, Ampere or later.")
@click.option("--timing-cache", type=_NEW_FILE, help="Keeps measured kernels between builds.")
def plan_command(
    onnx_file: Path,
    output: Path,
    photos: Path,
    builder: str | None,
    **options: Any,
) -> None:
    """Build an FP16 TensorRT plan; refuse where its scores move."""
    from iq_tools.builders import find_builder
    from iq_tools.plan_build import make_plan

    drift = make_plan(
        onnx_file,
        output,
        photos,
        PlanOptions(**options),
        builder=find_builder(builder),
        report=lambda line: click.echo(line, err=True),
    )
    for stage, value in drift.items():
        seen = "not compared: no GPU here" if value is None else f"moves the mean by {value:.2g}"
        click.echo(f"{stage}: {seen}")
    click.echo(f"{output} and {output.with_suffix('.json')}")


@main.command("serve", context_settings={"ignore_unknown_options": True})
@click.option("--model-repository", "repository", type=_FOLDER, default=Path("/models"))
@click.option("--cache", type=_NEW_FOLDER, default=Path("/var/cache/iq"), show_default=True)
@click.option("--photos", type=_FOLDER, default=Path("/opt/iq/photos"), show_default=True)
@click.option("--work", type=_NEW_FOLDER, default=Path(tempfile.gettempdir()), show_default=True)
@click.option(
    "--runtime", type=click.Choice(RUNTIMES), default="auto", show_default=True, envvar="IQ_RUNTIME"
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve_command(
    repository: Path, cache: Path, photos: Path, work: Path, runtime: str, arguments: tuple[str]
) -> None:
    """Start Triton with TensorRT where there is a GPU, else with ONNX Runtime.

    ARGUMENTS go to tritonserver.
    """
    from iq_tools.builders import find_builder

    chosen = prepare(
        repository,
        cache=cache,
        photos=photos,
        work=work,
        runtime=runtime,
        find_builder=find_builder,
        report=lambda line: click.echo(line, err=True),
    )
    click.echo(f"iq-tools: {chosen.reason}", err=True)
    start(chosen.command(arguments))


def _numbers(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in value.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise click.BadParameter(f"{value!r} is no list such as 1,4,16", ctx, param)
    return numbers


@main.command("perf")
@click.option("--url", default="localhost:8001", show_default=True, help="gRPC address.")
@click.option("--photos", type=_FOLDER, required=True, help="Photos to send.")
@click.option("--output", type=_NEW_FOLDER, default=Path("perf"), show_default=True)
@click.option("--model", "models", type=click.Choice(MODELS), multiple=True, help="Default: all.")
@click.option("--batch", "batches", callback=_numbers, default="1,4,16", show_default=True)
@click.option(
    "--concurrency", "concurrencies", callback=_numbers, default="1,2,4", show_default=True
)
@click.option("--requests", default=50, show_default=True, help="Requests per combination.")
@click.option("--perf-analyzer", type=_NEW_FILE, help="The program; default: on the PATH.")
def perf_command(
    url: str,
    photos: Path,
    output: Path,
    models: tuple[str, ...],
    batches: tuple[int, ...],
    concurrencies: tuple[int, ...],
    requests: int,
    perf_analyzer: Path | None,
) -> None:
    """Measure a running server; write a table (perf.md) and a picture (perf.png)."""
    from iq_tools.perf import draw, find_perf_analyzer, markdown_table, sweep
    from iq_tools.photos import photo_files

    measurements = sweep(
        url,
        photo_files(photos),
        program=find_perf_analyzer(perf_analyzer),
        models=models or MODELS,
        batches=batches,
        concurrencies=concurrencies,
        requests=requests,
        report=lambda found: click.echo(
            f"{found.model}, batch {found.batch}, {found.concurrency} in flight: "
            f"{found.images_per_second:.1f} images/s",
            err=True,
        ),
    )
    table = markdown_table(measurements)
    write_atomically(output / "perf.md", table.encode())
    draw(measurements, output / "perf.png")
    click.echo(table, nl=False)


@main.command("gpu-check")
@click.option(
    "--model-repository",
    "repository",
    type=_FOLDER,
    default=Path("model_repository"),
    show_default=True,
)
@click.option("--photos", type=_FOLDER, required=True, help="Photos to decode and to score.")
@click.option("--builder", help="As for `plan`.")
@click.option("--seconds", default=5.0, show_default=True, help="For each measurement.")
@click.option("--url", help="gRPC address of a running server, to measure the whole as well.")
@click.option("--perf-analyzer", type=_NEW_FILE, help="As for `perf`; needed with --url.")
def gpu_check_command(
    repository: Path,
    photos: Path,
    builder: str | None,
    seconds: float,
    url: str | None,
    perf_analyzer: Path | None,
) -> None:
    """Measure decode, tower and server on this machine's GPU, beside its measured peak."""
    from iq_tools.builders import find_builder
    from iq_tools.gpu_check import check
    from iq_tools.perf import find_perf_analyzer, sweep
    from iq_tools.photos import photo_files

    program = find_perf_analyzer(perf_analyzer) if url else None
    rows = check(
        repository,
        photos,
        seconds=seconds,
        find_builder=lambda: find_builder(builder),
        report=lambda line: click.echo(line, err=True),
    )
    if url and program:
        measured = sweep(
            url, photo_files(photos), program=program, batches=(16,), concurrencies=(8,),
            requests=200,
        )  # fmt: skip
        rows += [
            (f"server at {url}, {found.model}", f"{found.images_per_second:.0f} images/s")
            for found in measured
        ]
    click.echo("| what | measured |\n| --- | --- |")
    for what, result in rows:
        click.echo(f"| {what} | {result} |")
