"""Triton's start in a container, with the runtime that fits the machine.

With an NVIDIA GPU the tower runs as a TensorRT plan, which belongs to one GPU and one TensorRT: it
is built at the first start, kept in a cache and found there by every later start and replica.
Without one, or where no plan can be built or trusted, ONNX Runtime serves the default
configuration, on a CPU with an instance of the tower for each core that the container may use. A
damaged graph or a wrong folder is no reason for that: it ends the start.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from iq_serving.contract import ENSEMBLE_MODEL, PLAN_FILE
from iq_serving.layout import ensembles
from iq_serving.machine import usable_cores
from iq_tools.cores import lay_out_for_cores
from iq_tools.errors import GpuError, InputError, MissingToolError, ScoresMovedError
from iq_tools.tensorrt.gpu import describe_gpu, gpu_decoding_problem, require_gpu
from iq_tools.tensorrt.placement import CONFIG_NAME, lay_out
from iq_tools.tensorrt.plan import Builder, PlanOptions

_AUTO: Final = "auto"
_TENSORRT: Final = "tensorrt"
_ONNXRUNTIME: Final = "onnxruntime"
RUNTIMES: Final = (_AUTO, _TENSORRT, _ONNXRUNTIME)

# ONNX Runtime serves without TensorRT; every other error would meet it as well.
_FALL_BACK: Final = (GpuError, MissingToolError, ScoresMovedError)

_KEY_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Folders of a start, and the runtime that is asked for.

    Attributes:
        repository: The model repository, which may be read-only.
        cache: Folder that outlives the container and may be shared by replicas.
        photos: Photos on which a new plan is compared with the ONNX graph.
        work: Folder for the copy of the repository that is served.
        runtime: One of `RUNTIMES`; `auto` takes TensorRT where it can.
        reloaded: Whether Triton is to look at the repository again later: ONNX Runtime then serves
            it as it lies, because nobody would write into a copy.
    """

    repository: Path = Path("/models")
    cache: Path = Path("/var/cache/iq")
    photos: Path = Path("/opt/iq/photos")
    work: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    runtime: str = _AUTO
    reloaded: bool = False

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise InputError(f"runtime {self.runtime!r} is none of {', '.join(RUNTIMES)}")


@dataclass(frozen=True, slots=True)
class Start:
    """A decision: what Triton serves, and why.

    Attributes:
        repository: The model repository to serve.
        config_name: Which `configs/NAME.pbtxt` to use; None for the default configuration.
        reason: Why, for the log.
    """

    repository: Path
    config_name: str | None
    reason: str

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Triton's command line with further arguments."""
        return triton_command(self.repository, self.config_name, arguments)


def triton_command(
    repository: Path, config_name: str | None, arguments: Sequence[str] = ()
) -> list[str]:
    """The command line that serves a model repository.

    Args:
        repository: Its folder.
        config_name: Which `configs/NAME.pbtxt` to use; None for the default configuration.
        arguments: Further ones.
    """
    chosen = [f"--model-config-name={config_name}"] if config_name else []
    return [
        "tritonserver",
        f"--model-repository={repository}",
        "--disable-auto-complete-config",
        *chosen,
        *arguments,
    ]


def prepare(
    options: ServeOptions,
    *,
    find_builder: Callable[[], Builder],
    report: Callable[[str], None] = lambda line: None,
) -> Start:
    """Decides on the runtime and makes ready what it needs.

    Args:
        options: What was asked for.
        find_builder: Gives the way to TensorRT.
        report: Receives a line for every step of a build.

    Returns:
        How to start Triton.

    Raises:
        InputError: The repository, the photos or the cache cannot be used.
        GraphError: The repository's graph is damaged.
        GpuError, MissingToolError, ScoresMovedError: `tensorrt` was asked for and cannot be had.
    """
    repository = options.repository
    if options.runtime == _ONNXRUNTIME:
        return _onnxruntime(options, "as asked for")
    try:
        gpu = require_gpu()
        builder = find_builder()
        names = ensembles(repository) or [ENSEMBLE_MODEL]
        plans = {
            name: cached_plan(
                repository,
                gpu,
                builder,
                ensemble=name,
                cache=options.cache,
                photos=options.photos,
                report=report,
            )
            for name in names
        }
    except _FALL_BACK as error:
        if options.runtime == _TENSORRT:
            raise
        return _onnxruntime(options, f"because: {error}")
    problem = gpu_decoding_problem(repository, names[0])
    served = lay_out(repository, plans, options.work, decode_on_gpu=problem is None)
    built = ", ".join(map(str, plans.values()))
    decoding = f"the host, because: {problem}" if problem else "the GPU"
    return Start(
        served,
        CONFIG_NAME,
        f"TensorRT {builder.version} on {gpu['name']}, {built}; photos are decoded by {decoding}",
    )


def _onnxruntime(options: ServeOptions, why: str) -> Start:
    """The start of the default configuration."""
    reason = f"ONNX Runtime, {why}"
    if not options.reloaded and not _has_gpu():
        cores = usable_cores()
        names = ensembles(options.repository)
        served = lay_out_for_cores(options.repository, names, options.work, cores)
        if served is not None:
            return Start(
                served, None, f"{reason}; instances of the tower, one for each core: {cores}"
            )
    return Start(options.repository, None, reason)


def _has_gpu() -> bool:
    try:
        return describe_gpu() is not None
    except GpuError:  # of several kinds
        return True


def plan_key(onnx_file: Path, gpu: dict[str, str], builder: Builder) -> str:
    """The name of a plan in the cache, for the same graph, GPU, TensorRT and options the same."""
    with onnx_file.open("rb") as file:
        graph = hashlib.file_digest(file, "sha256").hexdigest()
    parts = (graph, gpu["name"], gpu["compute_cap"], builder.version, repr(PlanOptions()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_KEY_LENGTH]


def cached_plan(
    repository: Path,
    gpu: dict[str, str],
    builder: Builder,
    *,
    ensemble: str = ENSEMBLE_MODEL,
    cache: Path,
    photos: Path,
    report: Callable[[str], None],
) -> Path:
    """The plan from the cache, built where it is not there yet.

    Replicas that start together on one volume build once: the others wait for the first.

    Args:
        repository: The model repository.
        gpu: As of `describe_gpu`.
        builder: The way to TensorRT.
        ensemble: Whose tower's graph it is of.
        cache: The cache's folder.
        photos: Photos on which a new plan is compared with the graph.
        report: Receives a line for every step of a build.

    Returns:
        The plan's file.

    Raises:
        InputError: The repository, the cache or a photo cannot be used.
        GraphError, GpuError, MissingToolError, ScoresMovedError: As of `make_plan`.
    """
    from iq_tools.graph.tower import graph_of
    from iq_tools.tensorrt.make import make_plan

    onnx_file = graph_of(repository, ensemble)
    folder = cache / plan_key(onnx_file, gpu, builder)
    plan = folder / PLAN_FILE
    if plan.is_file():
        return plan
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the cache {cache} cannot be written ({error}); mount a volume there that user "
            f"{os.getuid()} may write to"
        ) from error
    with _locked(folder / "lock"):
        if not plan.is_file():  # whoever held the lock may have built it
            options = PlanOptions(timing_cache=folder / "timing.cache")
            make_plan(onnx_file, plan, photos, options, builder=builder, report=report)
    return plan


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Waits for a lock that a dying process lets go of."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def start(command: Sequence[str]) -> None:
    """Becomes Triton: the container's first process, which receives its signals.

    Args:
        command: The command line.

    Raises:
        MissingToolError: There is no Triton here.
    """
    program = shutil.which(command[0])
    if program is None:
        raise MissingToolError(f"{command[0]} is not on the PATH: this runs in Triton's container")
    os.execv(program, list(command))
