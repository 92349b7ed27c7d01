"""Lays a tower into a Triton model repository."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

from iq_tools.contract import (
    BF16,
    ENSEMBLE_MODEL,
    ERROR_TENSOR,
    F32,
    IMAGE_TENSOR,
    INT8,
    INT8_FILE,
    MASK_TENSOR,
    MAX_BATCH_SIZE,
    ONNX_FILE,
    PLAN_FILE,
    PRECISIONS,
    PREPROCESS_MODEL,
    SCORE_TENSORS,
    TOWER_FILE,
    TOWER_MODEL,
    VERSION,
    ContractError,
    Tensor,
    Tower,
    pixels,
)
from iq_tools.files import write_atomically
from iq_tools.graph.tower import read_tower
from iq_tools.photos import (
    PREPROCESSING_FILE,
    installed_preprocessing,
    load_preprocessing,
    read_photos,
)
from iq_tools.serving.processor import has_bf16

# 1 for people who wait, 2 for bulk work; 2 where a request says nothing.
PRIORITIES: Final = 2
# Requests that may wait for a step. Each holds its whole batch in memory.
MAX_QUEUE_SIZE: Final = 128
# What waits is executed in the largest of these that it fills, so that the next step has work while
# this one goes on; fewer images than the smallest are executed at once.
PREFERRED_BATCH_SIZES: Final = (8, 16, 32)

_BATCHING: Final = f"""\
dynamic_batching {{
  preferred_batch_size: [ {", ".join(map(str, PREFERRED_BATCH_SIZES))} ]
  priority_levels: {PRIORITIES}
  default_priority_level: {PRIORITIES}
  default_queue_policy {{ max_queue_size: {MAX_QUEUE_SIZE} }}
}}"""
# Of the folders 1, 2, … of a model the highest is served.
_VERSIONS: Final = "version_policy { latest { num_versions: 1 } }"
# Both steps want the one resource: whoever asks for the rate limiter has them take turns.
_ALTERNATING: Final = 'rate_limiter { resources [ { name: "cores" count: 1 } ] }'

# The preprocessing for a GPU: the model that Triton loads there, and what it needs beside it.
_GPU_MODEL_FILE: Final = "model_gpu.py"
_GPU_PIXELS_FILE: Final = "gpu_pixels.py"
_PROCESSOR_FILE: Final = "processor.py"
_COUNTER_FILE: Final = "counter.py"
_WARMUP_PHOTO: Final = "warmup.jpg"
_HEADER: Final = "# Written by `iq-tools repository`: change its template, not this file.\n"


@dataclass(frozen=True, slots=True)
class _Interface:
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class CpuPrecision:
    """What the embedded tower computes in.

    Attributes:
        name: One of `PRECISIONS`.
        calibration: Folder of real photos; `int8` needs it.
    """

    name: str = F32
    calibration: Path | None = None


def write_repository(
    onnx_file: Path,
    output: Path,
    *,
    preprocessing: Path | None = None,
    precision: CpuPrecision = CpuPrecision(),
    report: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Writes or renews a model repository for one tower.

    Args:
        onnx_file: The tower, as `iq-tools onnx` writes it.
        output: The repository's folder; other files in it are left alone.
        preprocessing: The preprocessing's source file; None for the installed one.
        precision: What the tower computes in on a CPU, in the configuration `embedded`.
        report: Receives what is found out on the way, line by line.

    Returns:
        The files written, relative to the folder.

    Raises:
        ContractError: The ONNX file describes no tower, the preprocessing is not installed, the
            tower was trained with another version of it, or the precision cannot be had; nothing
            is written then.
    """
    tower = read_tower(onnx_file)
    contents = repository_files(tower, preprocessing=preprocessing, precision=precision.name)
    contents[Path(TOWER_MODEL, VERSION, ONNX_FILE)] = onnx_file.read_bytes()
    if precision.name == BF16 and not has_bf16():
        raise ContractError(
            "bf16 needs a processor that computes in it, and this one has neither AVX512-BF16 nor "
            "AMX. Write the repository on the machine that serves it, or take --precision f32"
        )
    if precision.name == INT8:
        if precision.calibration is None:
            raise ContractError("int8 takes its scales from real photos: add --calibration FOLDER")
        from iq_tools.graph.int8 import quantize

        photos = read_photos(precision.calibration, tower, preprocessing=preprocessing)
        contents[Path(TOWER_MODEL, VERSION, INT8_FILE)] = quantize(onnx_file, photos, report=report)
    for path, content in contents.items():
        write_atomically(output / path, content)
    return list(contents)


def repository_files(
    tower: Tower, *, preprocessing: Path | None = None, precision: str = F32
) -> dict[Path, bytes]:
    """Every file of a tower's repository except the graphs.

    Args:
        tower: What the tower says of itself.
        preprocessing: The preprocessing's source file; None for the installed one.
        precision: One of `PRECISIONS`, for the configuration `embedded`.

    Returns:
        Contents by path relative to the repository.

    Raises:
        ContractError: As `write_repository`.
    """
    if precision not in PRECISIONS:
        raise ContractError(f"precision {precision!r} is none of {', '.join(PRECISIONS)}")
    source = preprocessing or installed_preprocessing()
    module = load_preprocessing(source)
    if tower.preprocessing_version != module.PREPROCESSING_VERSION:
        raise ContractError(
            f"the tower {tower.name} was trained with version {tower.preprocessing_version} of "
            f"the preprocessing, {source} is version {module.PREPROCESSING_VERSION}. Train and "
            f"export it with this version, or give its own with --preprocessing"
        )
    limits = module.Limits()
    values = {
        "ensemble": ENSEMBLE_MODEL,
        "preprocess": PREPROCESS_MODEL,
        "tower": TOWER_MODEL,
        "max_batch_size": MAX_BATCH_SIZE,
        "onnx_file": ONNX_FILE,
        "plan_file": PLAN_FILE,
        "gpu_model_file": _GPU_MODEL_FILE,
        "batching": _BATCHING,
        "versions": _VERSIONS,
        "alternating": _ALTERNATING,
        "image": IMAGE_TENSOR.name,
        "pixels": pixels(tower).name,
        "mask": MASK_TENSOR.name,
        "dims": ", ".join(map(str, pixels(tower).dims)),
        "warmup": IMAGE_TENSOR.name,
        "engine": PRECISIONS[precision],
        "precision": precision,
        "max_bytes": limits.max_bytes,
        "max_pixels": limits.max_pixels,
    }
    steps = {
        PREPROCESS_MODEL: _Interface((IMAGE_TENSOR,), (pixels(tower), MASK_TENSOR, ERROR_TENSOR)),
        TOWER_MODEL: _Interface((pixels(tower), MASK_TENSOR), SCORE_TENSORS),
    }
    interfaces = steps | {
        ENSEMBLE_MODEL: _Interface((IMAGE_TENSOR,), (*SCORE_TENSORS, ERROR_TENSOR))
    }
    for step, interface in steps.items():
        values[f"{step.removeprefix('nima_')}_maps"] = _maps(interface)
    written = {}
    for template in _templates():
        model, _, variant = template.removesuffix(".pbtxt").partition(".")
        text = Template(_read(f"configs/{template}").decode()).substitute(
            values, tensors=_tensors(interfaces[model])
        )
        path = (
            Path(model, "configs", f"{variant}.pbtxt") if variant else Path(model, "config.pbtxt")
        )
        written[path] = (_HEADER + text).encode()
    # Triton wants a version of an ensemble as well, and git keeps no empty folder.
    written[Path(ENSEMBLE_MODEL, VERSION, ".gitkeep")] = b""
    for step in steps:
        written[Path(step, VERSION, "model.py")] = _read(f"{step}.py")
        written[Path(step, VERSION, _PROCESSOR_FILE)] = _read(_PROCESSOR_FILE)
    written[Path(PREPROCESS_MODEL, VERSION, _COUNTER_FILE)] = _read(_COUNTER_FILE)
    on_gpu = Path(PREPROCESS_MODEL, VERSION)
    written[on_gpu / _GPU_MODEL_FILE] = _read(f"{PREPROCESS_MODEL}_gpu.py")
    written[on_gpu / _GPU_PIXELS_FILE] = _read(_GPU_PIXELS_FILE)
    # Triton takes a string as four bytes of length and the string.
    photo = _read(_WARMUP_PHOTO)
    written[Path(PREPROCESS_MODEL, "warmup", IMAGE_TENSOR.name)] = (
        len(photo).to_bytes(4, "little") + photo
    )
    written[Path(PREPROCESS_MODEL, VERSION, PREPROCESSING_FILE)] = source.read_bytes()
    written[Path(TOWER_MODEL, TOWER_FILE)] = tower.text.encode()
    return written


def _templates() -> list[str]:
    return sorted(path.name for path in files("iq_tools.serving").joinpath("configs").iterdir())


def _read(name: str) -> bytes:
    return files("iq_tools.serving").joinpath(name).read_bytes()


def _tensors(interface: _Interface) -> str:
    return (
        _tensor_list("input", interface.inputs) + "\n" + _tensor_list("output", interface.outputs)
    )


def _tensor_list(field: str, tensors: Iterable[Tensor]) -> str:
    entries = ",\n".join(
        f'  {{ name: "{tensor.name}" data_type: {tensor.datatype} '
        f"dims: [ {', '.join(map(str, tensor.dims))} ] }}"
        for tensor in tensors
    )
    return f"{field} [\n{entries}\n]"


def _maps(interface: _Interface) -> str:
    """Inside the ensemble every tensor is called as in the step that it belongs to."""
    return "\n".join(
        f'      {field} {{ key: "{tensor.name}" value: "{tensor.name}" }}'
        for field, tensors in (("input_map", interface.inputs), ("output_map", interface.outputs))
        for tensor in tensors
    )
