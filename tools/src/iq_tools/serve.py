"""Starts Triton in a container with the runtime that fits the machine.

With an NVIDIA GPU the tower runs as a TensorRT plan, which belongs to one GPU and one TensorRT: it
is built at the first start, kept in a cache and found there by every later start and replica.
Without one, or where no plan can be built, ONNX Runtime serves the default configuration.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iq_serving.contract import (
    ONNX_FILE,
    PLAN_FILE,
    PREPROCESS_MODEL,
    TOWER_MODEL,
    VERSION,
    ContractError,
)
from iq_tools.plan import Builder, PlanOptions, describe_gpu

_TENSORRT: Final = "tensorrt"
RUNTIMES: Final = ("auto", _TENSORRT, "onnxruntime")

_KEY_LENGTH: Final = 16
# Weights are linked, everything else is small enough to copy.
_LINKED: Final = frozenset({".onnx", ".plan"})


@dataclass(frozen=True, slots=True)
class Start:
    """How to start Triton.

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
        chosen = [f"--model-config-name={self.config_name}"] if self.config_name else []
        return [
            "tritonserver",
            f"--model-repository={self.repository}",
            "--disable-auto-complete-config",
            *chosen,
            *arguments,
        ]


def prepare(
    repository: Path,
    *,
    cache: Path,
    photos: Path,
    work: Path,
    runtime: str = "auto",
    find_builder: Callable[[], Builder],
    report: Callable[[str], None] = lambda line: None,
) -> Start:
    """Decides on the runtime and makes ready what it needs.

    Args:
        repository: The model repository, which may be read-only.
        cache: Folder that outlives the container and may be shared by replicas.
        photos: Photos on which a new plan is compared with the ONNX graph.
        work: Folder for the repository with the plan in it.
        runtime: One of `RUNTIMES`; `auto` takes TensorRT where it can.
        find_builder: Gives the way to TensorRT.
        report: Receives a line for every step of a build.

    Returns:
        How to start Triton.

    Raises:
        ContractError: `tensorrt` was asked for and cannot be had.
    """
    if runtime not in RUNTIMES:
        raise ContractError(f"runtime {runtime!r} is none of {', '.join(RUNTIMES)}")
    if runtime == "onnxruntime":
        return Start(repository, None, "ONNX Runtime, as asked for")
    try:
        gpu = describe_gpu()
        if gpu is None:
            raise ContractError("no NVIDIA GPU (nvidia-smi shows none)")
        builder = find_builder()
        plan = cached_plan(repository, gpu, builder, cache=cache, photos=photos, report=report)
    except ContractError as error:
        if runtime == _TENSORRT:
            raise
        return Start(repository, None, f"ONNX Runtime, because: {error}")
    problem = gpu_decoding_problem(repository)
    served = lay_out(repository, plan, work, decode_on_gpu=problem is None)
    decoding = f"the host, because: {problem}" if problem else "the GPU"
    return Start(
        served,
        _TENSORRT,
        f"TensorRT {builder.version} on {gpu['name']}, {plan}; photos are decoded by {decoding}",
    )


def gpu_decoding_problem(repository: Path) -> str | None:
    """The reason why photos cannot be decoded on the GPU; None where they can.

    Tried in a process of its own, with the repository's own code, as the server does: the model
    would fail to load, and Triton would not start.
    """
    tried = subprocess.run(
        [sys.executable, "-m", "iq_serving.gpu_probe"],
        cwd=repository / PREPROCESS_MODEL / VERSION,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if tried.returncode == 0:
        return None
    lines = [line for line in tried.stderr.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"the attempt ended with status {tried.returncode}"


def plan_key(onnx_file: Path, gpu: dict[str, str], builder: Builder) -> str:
    """The name of a plan in the cache, for the same graph, GPU, TensorRT and options the same."""
    graph = hashlib.sha256(onnx_file.read_bytes()).hexdigest()
    parts = (graph, gpu["name"], gpu["compute_cap"], builder.version, repr(PlanOptions()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_KEY_LENGTH]


def cached_plan(
    repository: Path,
    gpu: dict[str, str],
    builder: Builder,
    *,
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
        cache: The cache's folder.
        photos: Photos on which a new plan is compared with the graph.
        report: Receives a line for every step of a build.

    Returns:
        The plan's file.

    Raises:
        ContractError: It cannot be built, or its scores moved.
    """
    from iq_tools.plan_build import make_plan

    onnx_file = repository / TOWER_MODEL / VERSION / ONNX_FILE
    folder = cache / plan_key(onnx_file, gpu, builder)
    plan = folder / PLAN_FILE
    if plan.is_file():
        return plan
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ContractError(
            f"the cache {cache} cannot be written ({error}); mount a volume there that user "
            f"{os.getuid()} may write to"
        ) from error
    with _locked(folder / "lock"):
        if not plan.is_file():  # whoever held the lock may have built it
            options = PlanOptions(timing_cache=folder / "timing.cache")
            make_plan(onnx_file, plan, photos, options, builder=builder, report=report)
    return plan


def lay_out(repository: Path, plan: Path, work: Path, *, decode_on_gpu: bool) -> Path:
    """A model repository like the given one, with the plan in it.

    Args:
        repository: The given one, left unchanged.
        plan: The plan's file.
        work: Where to make it; its own folder in there is made anew.
        decode_on_gpu: Whether the configuration `tensorrt` decodes there, or the host does.

    Returns:
        The folder to serve.
    """
    work.mkdir(parents=True, exist_ok=True)
    served = Path(tempfile.mkdtemp(prefix="models-", dir=work))

    def place(source: str, target: str) -> None:
        if Path(source).suffix in _LINKED:
            Path(target).symlink_to(Path(source).resolve())
        else:
            shutil.copyfile(source, target)

    shutil.copytree(
        repository,
        served,
        copy_function=place,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    target = served / TOWER_MODEL / VERSION / PLAN_FILE
    target.unlink(missing_ok=True)
    target.symlink_to(plan.resolve())
    if not decode_on_gpu:  # without it Triton takes the model's default configuration
        (served / PREPROCESS_MODEL / "configs" / f"{_TENSORRT}.pbtxt").unlink(missing_ok=True)
    return served


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
        ContractError: There is no Triton here.
    """
    program = shutil.which(command[0])
    if program is None:
        raise ContractError(f"{command[0]} is not on the PATH: this runs in Triton's container")
    os.execv(program, list(command))
